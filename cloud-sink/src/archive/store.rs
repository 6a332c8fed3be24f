//! The object store: a folder, or a bucket that speaks S3.
//!
//! # Invariants
//! - An object is there whole or not at all; in a folder it is on disk behind an fsync when it is there.
//! - No request is repeated here: who asks knows when to ask again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    WriteMultipart,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Archive, Place, S3};

/// Larger objects go in parts of this.
const PART_BYTES: usize = 8 << 20;
/// Parts under way at a time: each is a copy.
const PARTS_MAX: usize = 2;
/// For one request, a part of 8 MiB included: 300 kB/s is enough.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away or busy: the same again, later.
    #[error("{0}")]
    Retry(String),
    /// Nothing goes until a human mends it (keys, bucket, rights): retried slowly.
    #[error("{0}")]
    Misconfigured(String),
}

impl From<Error> for StoreError {
    fn from(e: Error) -> Self {
        let wrong_setting =
            matches!(e, Error::PermissionDenied { .. } | Error::Unauthenticated { .. } | Error::NotFound { .. });
        let said = e.to_string();
        match wrong_setting {
            true => Self::Misconfigured(said),
            false => Self::Retry(said),
        }
    }
}

/// Handle to the archive's root.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
}

impl Store {
    /// # Errors
    /// The folder cannot be made, or the client cannot be built. An unreachable store is no error yet.
    pub fn open(archive: &Archive) -> anyhow::Result<Self> {
        let objects: Arc<dyn ObjectStore> = match &archive.place {
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                let objects = LocalFileSystem::new_with_prefix(folder)
                    .with_context(|| format!("cannot use {}", folder.display()))?;
                Arc::new(objects.with_fsync(true))
            }
            Place::S3(s3) => Arc::new(PrefixStore::new(bucket(s3)?, s3.prefix.as_str())),
        };
        Ok(Self { objects })
    }

    /// Over any store, such as one that fails at will.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// `None`: there is no such object.
    ///
    /// # Errors
    /// The store does not answer as it should.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        match self.objects.get(&Path::from(path)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// # Errors
    /// As [`Self::get`], or what lies there is not the JSON that was expected.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(path).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|e| StoreError::Misconfigured(format!("{path} cannot be read: {e}")))
    }

    /// Writes, over whatever was there.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = Path::from(path);
        if bytes.len() <= PART_BYTES {
            self.objects.put(&path, bytes.into()).await?;
            return Ok(());
        }
        let mut parts = WriteMultipart::new_with_chunk_size(self.objects.put_multipart(&path).await?, PART_BYTES);
        for part in bytes.chunks(PART_BYTES) {
            parts.wait_for_capacity(PARTS_MAX).await?;
            parts.put(bytes.slice_ref(part));
        }
        // Aborts by itself if that fails, as far as the store lets it.
        parts.finish().await?;
        Ok(())
    }

    /// # Errors
    /// The store did not take it.
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<(), StoreError> {
        self.put(path, json(value)).await
    }

    /// Writes what must not be there yet; `false` if it was.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn create_json<T: Serialize>(&self, path: &str, value: &T) -> Result<bool, StoreError> {
        let create = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&Path::from(path), json(value).into(), create).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// What is not there is deleted already.
    ///
    /// # Errors
    /// The store does not answer as it should.
    pub async fn delete(&self, path: &str) -> Result<(), StoreError> {
        match self.objects.delete(&Path::from(path)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec_pretty(value).expect("manifests and intents are plain data"))
}

fn bucket(s3: &S3) -> anyhow::Result<impl ObjectStore + use<>> {
    use_ring();
    let mut options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:")));
    if let Some(pem) = &s3.ca {
        let roots = Certificate::from_pem_bundle(pem).context("archive.ca_file")?;
        options = roots.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let no_retries = RetryConfig { max_retries: 0, retry_timeout: REQUEST_TIMEOUT, backoff: BackoffConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_virtual_hosted_style_request(!s3.path_style)
        .with_client_options(options)
        .with_retry(no_retries);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(keys) = &s3.keys {
        builder = builder.with_access_key_id(keys.access_key.expose()).with_secret_access_key(keys.secret_key.expose());
    }
    builder.build().context("[archive]")
}

/// object_store's HTTP client takes the process's provider of TLS; ring is the one that this program has.
fn use_ring() {
    // An error means that it is set already.
    drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
}
