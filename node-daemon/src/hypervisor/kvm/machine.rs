//! A virtual machine of 64 KiB of memory and one CPU.

use std::sync::mpsc;
use std::time::Duration;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use super::programs::{MEMORY, PORT, Program};
use super::{Failure, ioctl};

/// How long a program may run; a working KVM takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(3);
/// Exits after which a program has clearly lost its way.
const MOST_EXITS: usize = 16;

pub(super) fn run(kvm: &Kvm, program: Program) -> Result<(), Failure> {
    let mut memory = Memory::new();
    program.load(&mut memory.0);
    let vm = kvm.create_vm().map_err(ioctl("create a virtual machine"))?;
    map(&vm, &mut memory, MEMORY)?;
    let cpu = prepare(kvm, &vm, program)?;
    let (end, memory) = execute(&vm, memory, cpu)?;
    let wrong = |what: String| Failure::Program { program: program.name(), what };
    let said = end.map_err(wrong)?;
    if said != program.result() {
        return Err(wrong(format!("gave {said:x?}, not {:x?}", program.result())));
    }
    for (address, expected) in program.left_behind() {
        let found = memory.number(*address);
        if found != Some(*expected) {
            return Err(wrong(format!("left {found:x?} at {address:#x}, not {expected:#x}")));
        }
    }
    Ok(())
}

/// Gives the machine its memory; a size of zero takes it away.
fn map(vm: &VmFd, memory: &mut Memory, size: usize) -> Result<(), Failure> {
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: size as u64,
        userspace_addr: memory.0.as_mut_ptr().expose_provenance() as u64,
    };
    // SAFETY: the memory is as large as said. It is not touched while the CPU
    // runs, and not freed before the CPU has ended or the machine has lost it.
    #[allow(unsafe_code)]
    unsafe { vm.set_user_memory_region(region) }.map_err(ioctl("give it memory"))
}

fn prepare(kvm: &Kvm, vm: &VmFd, program: Program) -> Result<VcpuFd, Failure> {
    let cpu = vm.create_vcpu(0).map_err(ioctl("create a virtual CPU"))?;
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(ioctl("ask for the CPU that it offers"))?;
    cpu.set_cpuid2(&cpuid).map_err(ioctl("set up a virtual CPU"))?;
    let mut sregs = cpu.get_sregs().map_err(ioctl("read a virtual CPU"))?;
    program.prepare(&mut sregs);
    cpu.set_sregs(&sregs).map_err(ioctl("set up a virtual CPU"))?;
    let mut regs = cpu.get_regs().map_err(ioctl("read a virtual CPU"))?;
    (regs.rip, regs.rsp, regs.rflags) = (program.start(), program.stack(), 2);
    (regs.rax, regs.rbx) = (2, 3);
    cpu.set_regs(&regs).map_err(ioctl("set up a virtual CPU"))?;
    Ok(cpu)
}

type End = Result<Vec<u8>, String>;

/// Runs the CPU in a thread, because nothing but the guest ends its run. One
/// that hangs loses its memory: the next instruction it fetches is not there.
fn execute(
    vm: &VmFd,
    mut memory: Box<Memory>,
    mut cpu: VcpuFd,
) -> Result<(End, Box<Memory>), Failure> {
    let (sender, receiver) = mpsc::channel();
    let runner = std::thread::Builder::new().name("kvm-self-test".into()).spawn(move || {
        // The other side may have given up.
        let _ = sender.send(until_halt(&mut cpu));
    })?;
    let mut end = receiver.recv_timeout(PATIENCE);
    if end.is_err() {
        if let Err(failure) = map(vm, &mut memory, 0) {
            // The guest may write to it for ever.
            std::mem::forget(memory);
            return Err(failure);
        }
        end = receiver
            .recv_timeout(PATIENCE)
            .map(|_| Err(format!("did not end within {} s", PATIENCE.as_secs())));
    }
    let Ok(end) = end else {
        return Ok((Err("hangs and cannot be stopped".to_owned()), memory));
    };
    let _ = runner.join();
    Ok((end, memory))
}

fn until_halt(cpu: &mut VcpuFd) -> End {
    let mut said = Vec::new();
    for _ in 0..MOST_EXITS {
        match cpu.run() {
            Ok(VcpuExit::IoOut(PORT, bytes)) => said.extend_from_slice(bytes),
            Ok(VcpuExit::Hlt) => return Ok(said),
            // A signal for another reason.
            Ok(VcpuExit::Intr) => {}
            Ok(other) => return Err(format!("ended with {other:?}")),
            Err(error) if error.errno() == rustix::io::Errno::INTR.raw_os_error() => {}
            Err(error) => return Err(format!("could not be run: {error}")),
        }
    }
    Err("lost its way".to_owned())
}

/// Memory of a guest, aligned to a page.
#[repr(C, align(4096))]
struct Memory([u8; MEMORY]);

impl Memory {
    fn new() -> Box<Self> {
        Box::new(Self([0; MEMORY]))
    }

    fn number(&self, address: usize) -> Option<u64> {
        let bytes = self.0.get(address..address + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use suigen_crds::hypervisor::SelfTest;

    fn run_here(program: Program) -> Option<Result<(), Failure>> {
        let kvm = Kvm::new().inspect_err(|error| println!("skipped: no KVM here: {error}")).ok()?;
        let result = run(&kvm, program);
        println!("{}: {result:?}", program.name());
        Some(result)
    }

    #[test]
    fn kernel_programs_run_where_kvm_works() {
        for program in [Program::RealMode, Program::LongMode] {
            let Some(result) = run_here(program) else { return };
            if crate::hypervisor::kvm::self_test().self_test == SelfTest::Passed {
                result.unwrap();
            }
        }
    }

    #[test]
    fn kernel_a_program_without_an_end_is_stopped() {
        let start = Instant::now();
        let Some(result) = run_here(Program::Endless) else { return };
        let failure = result.unwrap_err().to_string();
        assert!(failure.contains("did not end within"), "{failure}");
        assert!(start.elapsed() < 2 * PATIENCE + Duration::from_secs(1));
    }
}
