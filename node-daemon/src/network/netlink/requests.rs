//! Changes of links and forwarding tables, sent many at a time: one system
//! call for a batch, which the kernel carries out in its order before the call
//! returns.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

/// How many requests are sent at once. Their answers must fit into the
/// socket's buffer, and the runtime does nothing else meanwhile.
pub const BATCH: usize = 64;

/// Room for one answer, which repeats the header of its request only.
const ANSWER: usize = 4096;

/// One change.
#[derive(Debug, Clone)]
pub struct Request {
    message: NetlinkMessage<RouteNetlinkMessage>,
    /// An answer that means that it was so already.
    tolerated: Option<i32>,
}

impl Request {
    /// A change with the flags that it needs beside those of all requests.
    #[must_use]
    pub fn new(message: RouteNetlinkMessage, flags: u16) -> Self {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        Self { message, tolerated: None }
    }

    /// Takes an answer as success.
    #[must_use]
    pub const fn tolerating(mut self, errno: i32) -> Self {
        self.tolerated = Some(errno);
        self
    }

    /// For a connection that carries out one at a time.
    #[must_use]
    pub fn into_message(self) -> NetlinkMessage<RouteNetlinkMessage> {
        self.message
    }
}

/// A socket for changes in one namespace; cheap to clone.
#[derive(Debug, Clone)]
pub struct Requests {
    socket: Arc<Mutex<Socket>>,
}

impl Requests {
    /// Opens it in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket: Arc::new(Mutex::new(socket)) })
    }

    /// Carries out at most [`BATCH`] requests, each whether or not those before
    /// it failed. Gives their answers in their order.
    #[must_use]
    pub fn send(&self, batch: &mut [Request]) -> Vec<io::Result<()>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        for (number, request) in (1..).zip(batch.iter_mut()) {
            append(&mut bytes, &mut request.message, number);
        }
        let unanswered = || Err(io::Error::from(io::ErrorKind::TimedOut));
        if let Err(error) = socket.send(&bytes, 0) {
            let failed = |_: &Request| Err(io::Error::new(error.kind(), error.to_string()));
            return batch.iter().map(failed).collect();
        }
        let mut answers: Vec<_> = batch.iter().map(|_| unanswered()).collect();
        collect(&socket, batch, &mut answers);
        answers
    }
}

fn append(bytes: &mut Vec<u8>, message: &mut NetlinkMessage<RouteNetlinkMessage>, number: u32) {
    message.header.sequence_number = number;
    message.finalize();
    let begin = bytes.len();
    // Messages begin at multiples of four (netlink(7)).
    bytes.resize(begin + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = bytes.get_mut(begin..begin + message.buffer_len()) {
        message.serialize(room);
    }
}

/// Takes the answers, all of which are there.
fn collect(socket: &Socket, batch: &[Request], answers: &mut [io::Result<()>]) {
    let mut buffer = Vec::with_capacity(ANSWER);
    loop {
        buffer.clear();
        if socket.recv(&mut buffer, 0).is_err() {
            return;
        }
        let Ok(answer) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer) else {
            continue;
        };
        let place = usize::try_from(answer.header.sequence_number).unwrap_or(0).wrapping_sub(1);
        if let (NetlinkPayload::Error(error), Some(request), Some(result)) =
            (answer.payload, batch.get(place), answers.get_mut(place))
        {
            *result = match error.code {
                Some(code) if request.tolerated != Some(code.get().abs()) => Err(error.to_io()),
                _ => Ok(()),
            };
        }
    }
}
