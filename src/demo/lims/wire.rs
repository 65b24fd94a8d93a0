//! Connections that can be cut.
//!
//! Two things ordinary serving cannot do: close one connection without answering the request on it, and close all of
//! them when the server goes away. (Connections live in tasks of their own; a server that was merely dropped would go
//! on answering on connections that were kept open, which no crashed server does.)
//!
//! A cut line fails its next write and wakes its reader, so that the connection's task ends at once.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    reader: AtomicWaker,
}

/// One connection, as the handler of a request sees it.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<State>);

impl Line {
    /// Closes the connection; whatever is being answered on it is not sent.
    pub(super) fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
    }

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }
}

impl Connected<IncomingStream<'_, Wire>> for Line {
    fn connect_info(stream: IncomingStream<'_, Wire>) -> Self {
        stream.io().line.clone()
    }
}

type Lines = Arc<Mutex<Vec<Weak<State>>>>;

/// A listener whose connections can be cut.
#[derive(Debug)]
pub(super) struct Wire {
    listener: TcpListener,
    lines: Lines,
}

impl Wire {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, lines: Lines::default() }
    }

    /// Cuts all connections when it is dropped.
    pub(super) fn guard(&self) -> CutAll {
        CutAll(Arc::clone(&self.lines))
    }
}

/// See [`Wire::guard`].
#[derive(Debug)]
pub(super) struct CutAll(Lines);

impl Drop for CutAll {
    fn drop(&mut self) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(Weak::upgrade).for_each(|state| Line(state).cut());
    }
}

impl Listener for Wire {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let state = Arc::new(State::default());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&state));
        (Connection { stream, line: Line(state) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream with a [`Line`] to cut it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    line: Line,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if self.line.is_cut() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.0.reader.register(cx.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
