//! The messages of Perfetto's trace format that a scene needs, by hand: a dozen of several hundred.
//!
//! Numbers and types of fields are those of `protos/perfetto/trace` in Perfetto's sources. A field that
//! is not written here is left out; a reader skips what it does not know.

use prost::Message;

/// A file: one packet after the other.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    /// The packets.
    #[prost(message, repeated, tag = "1")]
    pub packet: Vec<Packet>,
}

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
pub struct Packet {
    /// When, in ns on the clock of the run.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// Which writer: names that were interned belong to it.
    #[prost(uint32, optional, tag = "10")]
    pub sequence: Option<u32>,
    /// Something that happened.
    #[prost(message, optional, tag = "11")]
    pub event: Option<Event>,
    /// Names that later packets give by number.
    #[prost(message, optional, tag = "12")]
    pub interned: Option<Interned>,
    /// [`CLEARED`] in the first packet of a sequence, [`NEEDED`] in the others.
    #[prost(uint32, optional, tag = "13")]
    pub flags: Option<u32>,
    /// More packets: a [`Trace`], as a zlib stream.
    #[prost(bytes = "vec", optional, tag = "50")]
    pub compressed: Option<Vec<u8>>,
    /// A track that later packets name by its number.
    #[prost(message, optional, tag = "60")]
    pub track: Option<Track>,
}

/// Of [`Packet::flags`]: names that were interned before are forgotten.
pub const CLEARED: u32 = 1;
/// Of [`Packet::flags`]: the packet may need names that were interned before.
pub const NEEDED: u32 = 2;

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// What more there is to say.
    #[prost(message, repeated, tag = "4")]
    pub notes: Vec<Note>,
    /// What kind it is.
    #[prost(enumeration = "Kind", optional, tag = "9")]
    pub kind: Option<i32>,
    /// Its name, by number.
    #[prost(uint64, optional, tag = "10")]
    pub name: Option<u64>,
    /// Its track.
    #[prost(uint64, optional, tag = "11")]
    pub track: Option<u64>,
    /// The value of a counter.
    #[prost(int64, optional, tag = "30")]
    pub value: Option<i64>,
    /// An arrow that begins here.
    #[prost(fixed64, repeated, tag = "47")]
    pub flows: Vec<u64>,
    /// An arrow that ends here.
    #[prost(fixed64, repeated, tag = "48")]
    pub flow_ends: Vec<u64>,
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// None of the others.
    Unspecified = 0,
    /// A slice begins.
    Begin = 1,
    /// The slice of the track that began last ends.
    End = 2,
    /// A moment.
    Instant = 3,
    /// A counter changes.
    Counter = 4,
}

/// `DebugAnnotation`: a name and a value.
#[derive(Clone, PartialEq, Message)]
pub struct Note {
    /// The name, by number.
    #[prost(uint64, optional, tag = "1")]
    pub name: Option<u64>,
    /// A number.
    #[prost(uint64, optional, tag = "3")]
    pub number: Option<u64>,
    /// Words.
    #[prost(string, optional, tag = "6")]
    pub text: Option<String>,
}

/// `InternedData`.
#[derive(Clone, PartialEq, Message)]
pub struct Interned {
    /// Names of events.
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<Name>,
    /// Names of notes.
    #[prost(message, repeated, tag = "3")]
    pub notes: Vec<Name>,
}

/// `EventName` and `DebugAnnotationName`.
#[derive(Clone, PartialEq, Message)]
pub struct Name {
    /// Its number.
    #[prost(uint64, optional, tag = "1")]
    pub number: Option<u64>,
    /// The name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub struct Track {
    /// Its number in the file.
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    /// Its name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The process that it stands for.
    #[prost(message, optional, tag = "3")]
    pub process: Option<Process>,
    /// The track that it belongs to.
    #[prost(uint64, optional, tag = "5")]
    pub parent: Option<u64>,
    /// That it holds a counter.
    #[prost(message, optional, tag = "8")]
    pub counter: Option<Counter>,
    /// How the tracks that belong to it are ordered; 3: by their ranks.
    #[prost(int32, optional, tag = "11")]
    pub ordering: Option<i32>,
    /// Its rank among those of the same parent.
    #[prost(int32, optional, tag = "12")]
    pub rank: Option<i32>,
}

/// `ProcessDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub struct Process {
    /// Its number.
    #[prost(int32, optional, tag = "1")]
    pub pid: Option<i32>,
    /// Its name.
    #[prost(string, optional, tag = "6")]
    pub name: Option<String>,
}

/// `CounterDescriptor`, which says nothing but that there is a counter.
#[derive(Clone, PartialEq, Message)]
pub struct Counter {}
