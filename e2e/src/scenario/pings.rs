//! Pings that go on in a guest while something else happens.

use anyhow::{Context, Result};

use super::console::Console;

/// What became of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered.
    pub received: u64,
}

/// Pings an address five times a second, until [`end`].
pub fn begin(guest: &mut Console, address: &str) -> Result<()> {
    let start = format!("(exec ping -i 0.2 {address} >/run/pings 2>&1 </dev/null &); sleep 1");
    guest.run(&start).map(|_| ())
}

/// Ends what [`begin`] began.
pub fn end(guest: &mut Console) -> Result<Pings> {
    let said = guest.run("kill -INT $(pidof ping); sleep 1; grep transmitted /run/pings")?;
    read(&said).with_context(|| format!("ping said {said:?}"))
}

/// "12 packets transmitted, 12 packets received, 0% packet loss"
fn read(said: &str) -> Option<Pings> {
    let mut counts = said.split(", ").map(|part| part.split(' ').next()?.parse().ok());
    Some(Pings { sent: counts.next()??, received: counts.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_what_ping_says() {
        let said = "120 packets transmitted, 118 packets received, 1% packet loss";
        assert_eq!(read(said), Some(Pings { sent: 120, received: 118 }));
        assert_eq!(read("ping: bad address"), None);
    }
}
