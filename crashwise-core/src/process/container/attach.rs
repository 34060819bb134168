//! A container's output, as the engine sends it: pieces of both streams one after the other, each behind a head of eight bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::process::drive::Source;

/// Bytes of a stream that wait for their reader.
pub(super) const AHEAD: usize = 64 << 10;

impl Source for DuplexStream {
    async fn after(self, pause: impl Future<Output = ()> + Send) -> io::Result<Self> {
        pause.await;
        Ok(self)
    }
}

/// Parts the two streams until `from` ends. A reader that is gone takes nothing from the other.
///
/// # Errors
/// If the connection breaks or what came is no such stream: then output is missing.
pub(super) async fn part(
    mut from: impl AsyncRead + Unpin,
    mut out: DuplexStream,
    mut err: DuplexStream,
) -> io::Result<()> {
    let mut buffer = vec![0; AHEAD];
    loop {
        let mut head = [0; 8];
        if from.read(&mut head[..1]).await? == 0 {
            return Ok(());
        }
        from.read_exact(&mut head[1..]).await?;
        let [stream, 0, 0, 0, a, b, c, d] = head else { return Err(garbage()) };
        let to = match stream {
            1 => &mut out,
            2 => &mut err,
            _ => return Err(garbage()),
        };
        let mut left = u32::from_be_bytes([a, b, c, d]) as usize;
        while left > 0 {
            let most = left.min(buffer.len());
            let read = from.read(&mut buffer[..most]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let _ = to.write_all(&buffer[..read]).await;
            left -= read;
        }
    }
}

fn garbage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the engine sends what is no output of a container")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::part;

    async fn check(bytes: &[u8], expect: Result<(&str, &str), &str>) {
        let (out, mut from_out) = duplex(1 << 20);
        let (err, mut from_err) = duplex(1 << 20);
        let ended = part(bytes, out, err).await;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        from_out.read_to_string(&mut stdout).await.expect("text");
        from_err.read_to_string(&mut stderr).await.expect("text");
        match (ended, expect) {
            (Ok(()), Ok(expect)) => assert_eq!((stdout.as_str(), stderr.as_str()), expect, "{bytes:?}"),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{bytes:?}: {error}"),
            (ended, _) => panic!("{bytes:?}: {ended:?}"),
        }
    }

    #[tokio::test]
    async fn streams_are_parted() {
        check(b"", Ok(("", ""))).await;
        check(b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x03bad\x01\0\0\0\0\0\0\x01!", Ok(("hi!", "bad")))
            .await;
        check(b"\x01\0\0\0\0\0\0\0", Ok(("", ""))).await;
        check(b"\x01\0\0\0\0\0\0\x05hi", Err("end of file")).await;
        check(b"\x01\0\0", Err("eof")).await;
        check(b"HTTP/1.1 200 OK", Err("no output")).await;
        check(b"\x03\0\0\0\0\0\0\x01x", Err("no output")).await;
        check(b"\x00\0\0\0\0\0\0\x01x", Err("no output")).await;
    }

    #[tokio::test]
    async fn a_large_piece_is_passed_on_bit_by_bit() {
        let mut bytes = b"\x01\0\0\0\0\x08\0\0".to_vec();
        bytes.resize(8 + (8 << 16), b'x');
        let (out, mut from_out) = duplex(1000);
        let (err, from_err) = duplex(1000);
        drop(from_err);
        let ended = tokio::spawn(async move { part(bytes.as_slice(), out, err).await });
        let mut read = Vec::new();
        from_out.read_to_end(&mut read).await.expect("bytes");
        ended.await.expect("task").expect("parted");
        assert_eq!(read.len(), 8 << 16);
    }
}
