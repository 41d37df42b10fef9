//! Sees whether the head of a request says how long its body is in two ways, `Content-Length` and `chunked`: by that a
//! request is smuggled past a proxy which believes the other one (RFC 9112, 6.3). The library takes the first out of the
//! head before anybody looks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How a line begins that says how long a body is.
const NAME: &[u8] = b"content-length:";

/// Whether such a line came in since it was last asked.
#[derive(Clone, Default)]
pub struct Seen(Arc<AtomicBool>);

impl Seen {
    /// Whether one came in; from now on none has.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A stream whose lines are looked at as they are read.
pub struct Lengths<S> {
    inner: S,
    seen: Seen,
    /// How much of the line is the beginning of the name; none within a line that is another.
    matched: Option<usize>,
}

impl<S> Lengths<S> {
    /// Looks at a stream from its beginning on.
    pub fn of(inner: S) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { inner, seen: seen.clone(), matched: Some(0) }, seen)
    }

    fn look(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.matched = match self.matched {
                _ if *byte == b'\n' => Some(0),
                Some(matched) if NAME[matched] == byte.to_ascii_lowercase() => Some(matched + 1),
                _ => None,
            };
            if self.matched == Some(NAME.len()) {
                self.seen.0.store(true, Ordering::Relaxed);
                self.matched = None;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lengths<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buf);
        self.look(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lengths<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In whatever pieces it comes.
    #[test]
    fn a_line_with_the_length_is_seen() {
        for (text, says) in [
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH:5\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nX-Content-Length: 5\r\nContent-Lengthy: 5\r\nA: Content-Length: 1\r\n\r\n", false),
        ] {
            for piece in 1..=text.len() {
                let (mut stream, seen) = Lengths::of(());
                text.as_bytes().chunks(piece).for_each(|bytes| stream.look(bytes));
                assert_eq!((seen.take(), seen.take()), (says, false), "{text} in pieces of {piece}");
            }
        }
    }
}
