//! Decoding ahead: one thread decodes while another writes the tree.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::Decoded;

/// Bytes handed over at a time.
const PIECE: usize = 256 << 10;
/// Pieces under way; with [`PIECE`] this bounds the memory.
const PIECES: usize = 6;

/// Runs `work` on a thread of its own, with what this thread decodes meanwhile. Bytes and errors arrive in the order of
/// the stream, and no more than [`PIECES`] are decoded that `work` has not asked for.
pub(crate) fn ahead<T: Send>(
    mut decoded: Decoded<impl Read>,
    work: impl FnOnce(Ahead) -> T + Send,
) -> io::Result<T> {
    let (full, pieces) = sync_channel(PIECES);
    let (spent, empty) = channel();
    thread::scope(|threads| {
        let ahead = Ahead { pieces, spent, current: Piece::default(), at: 0 };
        let worker = thread::Builder::new().spawn_scoped(threads, || work(ahead))?;
        decode(&mut decoded, &full, &empty);
        drop(full);
        match worker.join() {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Decodes until the stream ends, fails, or nobody wants more of it.
fn decode(decoded: &mut impl Read, full: &SyncSender<io::Result<Piece>>, empty: &Receiver<Box<[u8]>>) {
    for made in 0.. {
        let buffer = if made < PIECES { Ok(vec![0; PIECE].into_boxed_slice()) } else { empty.recv() };
        let Ok(mut buffer) = buffer else { return };
        let (mut length, mut failed) = (0, None);
        while length < PIECE {
            match decoded.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(n) => length += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // What came before the failure may be wrong in a way that says more.
        if full.send(Ok(Piece { buffer, length })).is_err() {
            return;
        }
        if let Some(error) = failed {
            let _ = full.send(Err(error));
            return;
        }
        if length < PIECE {
            return;
        }
    }
}

/// Decoded bytes.
#[derive(Default)]
struct Piece {
    buffer: Box<[u8]>,
    length: usize,
}

/// What was decoded, to be read on another thread.
pub(crate) struct Ahead {
    pieces: Receiver<io::Result<Piece>>,
    spent: Sender<Box<[u8]>>,
    current: Piece,
    at: usize,
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.length {
            let Ok(next) = self.pieces.recv() else { return Ok(0) };
            let spent = std::mem::replace(&mut self.current, next?).buffer;
            self.at = 0;
            if !spent.is_empty() {
                // Who has decoded all needs no more buffers.
                let _ = self.spent.send(spent);
            }
        }
        let n = buf.len().min(self.current.length - self.at);
        buf[..n].copy_from_slice(&self.current.buffer[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
