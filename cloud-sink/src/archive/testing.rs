//! For tests of the archive: records, and a store that fails at a chosen request, before or after it was carried out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::measurement::{EventTime, Received};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;

use super::roll::{Record, Rolls};

/// 2025-11-21, a minute before midnight (UTC).
const RECEIVED_NS: i64 = 1_763_769_540_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

pub(super) fn envelope() -> Envelope<'static> {
    Envelope {
        schema: Schema::Raw,
        gateway: "gw",
        queue_seq: 7,
        received: Received::known(EventTime(RECEIVED_NS)),
        topic: "sensors/pump/telemetry",
        door: "mqtt",
        retained: false,
        identity: None,
        content_type: "",
        table: "",
        decoder: None,
    }
}

pub(super) fn headers(envelope: &Envelope<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = Vec::new();
    envelope.write_headers(|name, value| headers.push((name, value.to_vec())));
    headers
}

/// The record of this offset: of one of three devices, over midnight.
pub(super) fn push(rolls: &mut Rolls, offset: i64, now: Instant) {
    let received = Received::known(EventTime(RECEIVED_NS + offset / 4 * MINUTE_NS));
    let headers = headers(&Envelope { queue_seq: offset as u64, received, ..envelope() });
    let key = ["pump", "press", "oven"][offset as usize % 3].as_bytes();
    let payload = format!("{{\"temperature\":{offset}}}");
    let record = Record { offset, timestamp_ms: Some(1), key, payload: payload.as_bytes() };
    rolls.push("t", 0, record, headers.iter().map(|(name, value)| (*name, value.as_slice())), now);
}

/// The request with this number, counted from 0, fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: u64,
    /// It is carried out, but the answer is lost.
    pub(super) is_done_before: bool,
}

/// Objects in memory. `clone` of [`InMemory`] shares them.
#[derive(Debug)]
pub(super) struct FaultyStore {
    objects: InMemory,
    faults: Vec<Fault>,
    requests: AtomicU64,
    /// Not 0: each request waits for some turns of the scheduler before and behind it.
    delays: u64,
}

impl FaultyStore {
    pub(super) fn new(objects: InMemory, faults: Vec<Fault>) -> Self {
        Self { objects, faults, requests: AtomicU64::new(0), delays: 0 }
    }

    pub(super) fn with_delays(mut self, seed: u64) -> Self {
        self.delays = seed * 2 + 1;
        self
    }

    async fn request<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        self.delay(number).await;
        let fault = self.faults.iter().find(|fault| fault.at == number);
        let no = || Error::Generic { store: "faulty", source: "as it was told".into() };
        let answer = match fault {
            Some(Fault { is_done_before: false, .. }) => return Err(no()),
            Some(Fault { is_done_before: true, .. }) => request.await.and(Err(no())),
            None => request.await,
        };
        self.delay(number + 500).await;
        answer
    }

    async fn delay(&self, number: u64) {
        if self.delays > 0 {
            let mixed = (self.delays ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            for _ in 0..mixed >> 62 {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.request(self.objects.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.request(self.objects.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.objects.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One path at a time is all that is ever asked.
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let no = || Error::Generic { store: "faulty", source: "as it was told".into() };
        match self.faults.iter().find(|fault| fault.at == number) {
            Some(Fault { is_done_before: false, .. }) => futures_util::stream::once(async move { Err(no()) }).boxed(),
            Some(Fault { is_done_before: true, .. }) => {
                self.objects.delete_stream(paths).map(move |answer| answer.and(Err(no()))).boxed()
            }
            None => self.objects.delete_stream(paths),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
