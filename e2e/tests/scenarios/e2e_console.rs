//! Who gets a server's console.

use suigen_e2e::scenario;
use suigen_e2e::scenario::console::Console;
use suigen_e2e::scenario::endpoint::OperatorEndpoint;

use crate::guest::Guest;
use crate::harness::Scenario;

#[test]
fn e2e_the_console_opens_for_the_right_token_alone() {
    let scenario = Scenario::shared("console");
    scenario.apply(&scenario.tiny("talk").yaml());
    let guest = Guest::up(&scenario, "talk");
    assert!(guest.shell("echo hello").contains("hello"));

    let endpoint = OperatorEndpoint::open(scenario.cluster).expect("reach the operator");
    let server = (scenario.namespace.as_str(), "talk");
    let refused = |token: &str, server| {
        Console::open(&endpoint, server, token).expect("ask").expect_err("must be refused").status
    };
    let namespace = format!("--namespace={}", scenario.namespace);
    assert_eq!(refused("nonsense", server), 401);
    let for_the_api = scenario
        .cluster
        .kubectl(&[&namespace, "create", "token", "default"])
        .expect("make a token for the API server");
    assert_eq!(refused(for_the_api.trim(), server), 401, "the audience must count");
    scenario
        .cluster
        .kubectl(&[&namespace, "create", "serviceaccount", "stranger"])
        .expect("make an account");
    let stranger = scenario::console_token(scenario.cluster, &scenario.namespace, "stranger")
        .expect("make its token");
    assert_eq!(refused(&stranger, server), 403);
    let owner = scenario::console_token(scenario.cluster, &scenario.namespace, "default")
        .expect("make the owner's token");
    assert_eq!(refused(&owner, (scenario.namespace.as_str(), "nobody")), 404);
    assert_eq!(refused(&owner, ("default", "talk")), 403, "the right ends with its namespace");
}
