//! The frames of an HTTP/2 connection, watched as they arrive: h2 reads them, and this sees to what it leaves open.
//!
//! h2 limits header blocks and their CONTINUATION frames, empty DATA frames, streams, and those that are reset before they
//! are looked at. It answers each PING and SETTINGS before it reads on, so that their number costs no memory, but does not
//! limit it; nor the streams that are reset once they are looked at, which is what a rapid reset (CVE-2023-44487) does; nor
//! how long a header block may stay open.

use tokio::time::{Duration, Instant};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many frames may come within [`WINDOW`] that ask for nothing (PING, SETTINGS, `WINDOW_UPDATE`, PRIORITY and those that
/// nobody knows), beside those of [`CONTROL_FRAMES_A_STREAM`]. nghttp2 gives up at as many answers that wait to be sent
/// (`NGHTTP2_DEFAULT_MAX_OBQ_FLOOD_ITEM`).
const CONTROL_FRAMES: u64 = 1000;

/// How many more for each stream that is opened meanwhile.
const CONTROL_FRAMES_A_STREAM: u64 = 10;

/// How long frames are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// How many streams a client may reset before the share counts: more than half of all is none that changes its mind. Envoy
/// begins at 500 (`overload.premature_reset_total_stream_count`), for many users behind a proxy.
const RESETS: u64 = 100;

const HEADER_LENGTH: usize = 9;
const END_HEADERS: u8 = 0x4;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const PUSH_PROMISE: u8 = 0x5;
const CONTINUATION: u8 = 0x9;

/// Too many frames of a kind that costs more than it is worth.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many {0} frames")]
pub struct Flood(&'static str);

/// What has arrived so far.
#[derive(Debug)]
pub struct Frames {
    preface_left: usize,
    header: [u8; HEADER_LENGTH],
    header_length: usize,
    payload_left: usize,
    is_block_open: bool,
    is_first_whole: bool,
    /// The highest id of a stream so far.
    highest_stream: u32,
    streams: u64,
    resets: u64,
    window_began: Instant,
    control: u64,
    streams_before: u64,
}

impl Frames {
    /// A connection from its preface on.
    pub fn new() -> Self {
        Self {
            preface_left: PREFACE.len(),
            header: [0; HEADER_LENGTH],
            header_length: 0,
            payload_left: 0,
            is_block_open: false,
            is_first_whole: false,
            highest_stream: 0,
            streams: 0,
            resets: 0,
            window_began: Instant::now(),
            control: 0,
            streams_before: 0,
        }
    }

    /// Looks at what has arrived.
    ///
    /// # Errors
    /// Where it is a flood.
    pub fn look_at(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.header_length < HEADER_LENGTH {
                let more = (HEADER_LENGTH - self.header_length).min(bytes.len());
                self.header[self.header_length..self.header_length + more].copy_from_slice(&bytes[..more]);
                self.header_length += more;
                bytes = &bytes[more..];
                if self.header_length == HEADER_LENGTH {
                    self.count()?;
                }
            }
            let payload = self.payload_left.min(bytes.len());
            self.payload_left -= payload;
            bytes = &bytes[payload..];
            if self.header_length == HEADER_LENGTH && self.payload_left == 0 {
                self.header_length = 0;
                self.is_first_whole = true;
            }
        }
        Ok(())
    }

    /// Whether something has begun whose end has not arrived: the preface with the first SETTINGS, a frame, or a header
    /// block.
    pub fn is_within(&self) -> bool {
        !self.is_first_whole || self.header_length > 0 || self.is_block_open
    }

    /// A header of a frame has arrived.
    fn count(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            DATA => Ok(()),
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                self.is_block_open = flags & END_HEADERS == 0;
                if kind == HEADERS { self.count_headers() } else { Ok(()) }
            }
            RST_STREAM => self.count_reset(),
            _ => self.count_control_frame(),
        }
    }

    /// Ids of streams rise (RFC 9113, section 5.1.1): headers of another one are trailers, and ask for nothing.
    fn count_headers(&mut self) -> Result<(), Flood> {
        let [.., a, b, c, d] = self.header;
        let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        if stream <= self.highest_stream {
            return self.count_control_frame();
        }
        self.highest_stream = stream;
        self.streams += 1;
        Ok(())
    }

    fn count_reset(&mut self) -> Result<(), Flood> {
        self.resets += 1;
        if self.resets > RESETS && self.resets * 2 > self.streams { Err(Flood("RST_STREAM")) } else { Ok(()) }
    }

    fn count_control_frame(&mut self) -> Result<(), Flood> {
        if self.window_began.elapsed() > WINDOW {
            (self.window_began, self.control, self.streams_before) = (Instant::now(), 0, self.streams);
        }
        self.control += 1;
        let allowed = CONTROL_FRAMES + CONTROL_FRAMES_A_STREAM * (self.streams - self.streams_before);
        if self.control > allowed { Err(Flood("control")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: u8 = 0x4;
    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short payload");
        let [a, b, c, d] = stream.to_be_bytes();
        [&[0, 0, length, kind, flags, a, b, c, d], payload].concat()
    }

    /// The same frames on so many streams, one after the other.
    fn on_streams(count: u32, frames: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let of = |number: u32| {
            frames.iter().flat_map(move |(kind, flags, payload)| frame_of(2 * number + 1, *kind, *flags, payload))
        };
        (0..count).flat_map(of).collect()
    }

    /// A connection whose client has said what it has to say first.
    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames.look_at(PREFACE).expect("a preface");
        frames.look_at(&frame(SETTINGS, 0, &[])).expect("settings");
        frames
    }

    #[test]
    fn a_beginning_without_settings_a_part_of_a_frame_and_an_open_block_want_more() {
        let mut frames = Frames::new();
        frames.look_at(PREFACE).expect("a preface");
        assert!(frames.is_within());

        let mut frames = begun();
        assert!(!frames.is_within());
        for byte in frame(PING, 0, &[0; 8]) {
            frames.look_at(&[byte]).expect("a ping");
        }
        assert!(!frames.is_within());
        frames.look_at(&frame(HEADERS, 0, b"block")).expect("headers");
        assert!(frames.is_within());
        frames.look_at(&frame(CONTINUATION, 0, b"block")).expect("more of them");
        assert!(frames.is_within());
        frames.look_at(&frame(CONTINUATION, END_HEADERS, b"block")).expect("the rest");
        assert!(!frames.is_within());
        frames.look_at(&frame(DATA, 0, b"data")[..10]).expect("a part");
        assert!(frames.is_within());
    }

    #[test]
    fn a_client_that_resets_most_of_its_streams_is_a_flood() {
        let (ask, reset) = ((HEADERS, END_HEADERS, &b"block"[..]), (RST_STREAM, 0, &[0; 4][..]));

        let mut frames = begun();
        frames.look_at(&on_streams(100, &[ask, reset])).expect("not yet one");
        assert_eq!(frames.look_at(&frame(RST_STREAM, 0, &[0; 4])), Err(Flood("RST_STREAM")));

        let half = (0..1000).flat_map(|number| {
            let asked = [4 * number + 1, 4 * number + 3].map(|stream| frame_of(stream, HEADERS, END_HEADERS, b"block"));
            [asked.concat(), frame(RST_STREAM, 0, &[0; 4])].concat()
        });
        begun().look_at(&half.collect::<Vec<_>>()).expect("half of them are answered");
    }

    #[test]
    fn trailers_are_no_streams_that_could_be_reset() {
        let (headers, reset) = ((HEADERS, END_HEADERS, &b"block"[..]), (RST_STREAM, 0, &[0; 4][..]));

        let flood = begun().look_at(&on_streams(101, &[headers, headers, reset]));

        assert_eq!(flood, Err(Flood("RST_STREAM")));
    }

    #[test]
    fn frames_that_ask_for_nothing_are_a_flood_where_they_are_many() {
        for kind in [SETTINGS, PING, 0x2, 0x8, 0xff] {
            let mut frames = begun();
            frames.look_at(&frame(kind, 0, &[]).repeat(999)).expect("not yet one");
            assert_eq!(frames.look_at(&frame(kind, 0, &[])), Err(Flood("control")), "{kind}");
        }

        let mut frames = begun();
        let mut updates = vec![(HEADERS, END_HEADERS, &b"block"[..])];
        updates.extend([(0x8, 0, &[0; 4][..]); 10]);
        frames.look_at(&on_streams(1000, &updates)).expect("ten a stream");
    }

    #[tokio::test(start_paused = true)]
    async fn few_frames_at_a_time_are_never_a_flood() {
        let mut frames = begun();
        for _ in 0..100 {
            frames.look_at(&frame(PING, 0, &[0; 8]).repeat(900)).expect("pings");
            tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        }
    }
}
