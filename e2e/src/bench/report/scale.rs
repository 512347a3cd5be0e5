//! The tables of one number of servers.

use crate::bench::audit::{Write, tally};
use crate::bench::fleet::NAMESPACE;
use crate::bench::memory::mib;
use crate::bench::scale::Scale;
use crate::bench::smaps::GuestMemory;
use crate::bench::statistics::{Summary, cell};
use crate::bench::table::Table;
use crate::bench::timeline::{SPANS, Step, span};

/// The steps from a manifest to a guest, and the guest without Suigen.
pub fn steps(scale: &Scale) -> String {
    let mut table = Table::new(&["step", "s"]);
    for (what, from, to) in SPANS {
        table.row([what.to_owned(), cell(span(&scale.timelines, from, to))]);
    }
    let by_hand = Summary::of(scale.by_hand.iter().copied());
    table.row(["by hand: QEMU started → guest up".to_owned(), cell(by_hand)]);
    let ratio = |from| Some(span(&scale.timelines, from, Step::GuestUp)?.median / by_hand?.median);
    let shown =
        |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |it| format!("{it:.2} ×"));
    table.row([
        "ratio to by hand, QEMU started → guest up".to_owned(),
        shown(ratio(Step::QemuStarted)),
    ]);
    table.row(["ratio to by hand, created → guest up".to_owned(), shown(ratio(Step::Created))]);
    table.row(["all deleted → nothing left".to_owned(), format!("{:.2}", scale.gone)]);
    format!(
        "## From a manifest to a guest: {} at once\n\nBy hand: as many guests of the same image at once, on the\n\
         bundle's QEMU, without Suigen, in the same run.\n\n{table}",
        scale.count
    )
}

/// Budgeted writes for a server: its share of all, or the most to one server,
/// its disk and its port where that is more.
pub fn budgeted(scale: &Scale, writes: &[Write]) -> Option<f64> {
    let share = a_server(scale, all_budgeted(writes).count())?;
    Some(share.max(f64::from(u32::try_from(most(scale, writes)).ok()?)))
}

fn all_budgeted(writes: &[Write]) -> impl Iterator<Item = &Write> {
    writes.iter().filter(|write| write.kind.is_budgeted())
}

fn most(scale: &Scale, writes: &[Write]) -> usize {
    let to = |server: &str| {
        let objects = [server, &format!("{server}-root"), &format!("{server}.eth0")]
            .map(|name| format!("{NAMESPACE}/{name}"));
        all_budgeted(writes).filter(|write| objects.contains(&write.object)).count()
    };
    scale.timelines.iter().map(|one| to(&one.name)).max().unwrap_or_default()
}

fn a_server(scale: &Scale, count: usize) -> Option<f64> {
    Some(f64::from(u32::try_from(count).ok()?) / f64::from(u32::try_from(scale.count).ok()?))
}

/// Writes by kind.
pub fn writes(scale: &Scale, writes: &[Write]) -> String {
    let headings = ["writer", "verb", "resource", "field manager", "status", "count", "a server"];
    let mut table = Table::new(&headings);
    let each = |count| a_server(scale, count).map_or_else(String::new, |it| format!("{it:.2}"));
    for (kind, count) in tally(writes) {
        let status = kind.code.to_string();
        let row = [kind.writer, kind.verb, kind.resource, kind.manager, status];
        table.row(row.into_iter().chain([count.to_string(), each(count)]));
    }
    let total = |what: &str| [what, "", "", "", ""].map(str::to_owned);
    let count = all_budgeted(writes).count();
    table.row(total("all that are budgeted").into_iter().chain([count.to_string(), each(count)]));
    let most = most(scale, writes).to_string();
    table.row(
        total("most to a server, its disk and its port").into_iter().chain([String::new(), most]),
    );
    table.to_string()
}

/// The memory of the guests' QEMUs.
pub fn guests(scale: &Scale) -> String {
    let mut table = Table::new(&[&format!("{} server(s)", scale.count), "MiB"]);
    let mut part = |what: &str, bytes: fn(&GuestMemory) -> u64| {
        let values = scale.guests.iter().map(|guest| mib(bytes(guest)));
        table.row([what.to_owned(), cell(Summary::of(values))]);
    };
    part("RAM that exists", |guest| guest.ram);
    part("translated code", |guest| guest.translated);
    part("program, libraries", |guest| guest.files);
    part("the rest", |guest| guest.other);
    part("beyond the RAM, in all", GuestMemory::overhead);
    table.to_string()
}
