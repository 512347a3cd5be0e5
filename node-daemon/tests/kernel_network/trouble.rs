#[test]
fn dbg() {
    let lab = crate::lab::Lab::start();
    let near = crate::lab::port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&near, lab.a.underlay.address);
    lab.host(&[&tenant]);
    println!("{}", lab.a.in_tenants("bridge -d link; bridge fdb; ip -d link"));
}
