//! Frames: how messages are written to a pipe. A frame is the length of a message as four bytes, least significant
//! first, and the message.

use std::io::{self, Read};

use serde::{Serialize, de::DeserializeOwned};

use crate::launcher::LONGEST_FRAME;

/// Appends a message as a frame.
pub(super) fn write(message: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.extend([0; 4]);
    *out = postcard::to_extend(message, std::mem::take(out)).map_err(io::Error::other)?;
    let length = out.len() - start - 4;
    if length > LONGEST_FRAME {
        out.truncate(start);
        return Err(io::Error::other(format!("a message of {length} bytes exceeds the limit of {LONGEST_FRAME}")));
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Reads the message of a frame, without its length.
pub(super) fn read<M: DeserializeOwned>(message: &[u8]) -> io::Result<M> {
    postcard::from_bytes(message).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Reads the next message from a pipe. Returns `None` at the end.
pub(super) fn next<M: DeserializeOwned>(pipe: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match pipe.read_exact(&mut length) {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(why) => return Err(why),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    buffer.clear();
    buffer.resize(length, 0);
    pipe.read_exact(buffer)?;
    let message = read(buffer).map(Some);
    // a long message should not hold its memory for as long as the engine lives
    if buffer.capacity() > 1 << 16 {
        *buffer = Vec::new();
    }
    message
}
