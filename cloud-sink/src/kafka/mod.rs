//! Kafka as the engine: settings of the clients, and the consumer group of a role.

pub mod client;
pub mod group;
mod lag;
