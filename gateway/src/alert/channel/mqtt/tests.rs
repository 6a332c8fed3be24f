//! What becomes of a message, with a broker of a few packets.

use firmware_protocol::derived::IncidentState;
use rumqttc::mqttbytes::QoS;
use tokio::net::TcpListener;

use super::*;
use crate::alert::outbox::Kind;
use crate::alert::settings::Target;
use crate::alert::testing::{config, incident, letter, sender};
use crate::publisher::Broker;
use crate::publisher::testing::{Heard, Manner, broker};

async fn send(port: u16) -> Outcome {
    let mqtt = Mqtt {
        broker: Broker {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            client_id: "gw-alerts".into(),
            login: Some(("gw".into(), None)),
        },
        topic: "gateway/gw/alerts".into(),
        template: None,
    };
    let letter = letter(vec![(Kind::Opened, incident(7, 0, IncidentState::Open))]);
    let message = Message::of(letter, &config("mqtt", Target::Mqtt(mqtt.clone())), &sender());
    MqttChannel::new(&mqtt, Duration::from_secs(20)).send(&message).await
}

#[tokio::test]
async fn a_message_is_taken_when_the_broker_acknowledges_it() {
    let (port, mut heard) = broker(vec![Manner::Acknowledges]).await;
    assert!(matches!(send(port).await, Outcome::Sent(_)));
    let Some(Heard::Connect(connect)) = heard.recv().await else { panic!("no CONNECT") };
    assert_eq!(connect.login.map(|login| login.username).as_deref(), Some("gw"));
    let Some(Heard::Publish(publish)) = heard.recv().await else { panic!("no PUBLISH") };
    let body: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
    assert_eq!((publish.topic.as_str(), publish.qos), ("gateway/gw/alerts", QoS::AtLeastOnce));
    assert_eq!(body["id"], "edge-1/mqtt/0000000000000007-opened");
    assert_eq!((&body["incidents"][0]["device"], &body["kind"]), (&"pump-7".into(), &"opened".into()));
    assert_eq!(heard.recv().await, Some(Heard::Left));
}

#[tokio::test]
async fn in_doubt_it_may_have_arrived_and_a_refused_login_is_a_setting_to_mend() {
    let (port, mut heard) = broker(vec![Manner::ClosesAfter(1)]).await;
    assert!(matches!(send(port).await, Outcome::Unknown { .. }));
    assert!(matches!(heard.recv().await, Some(Heard::Connect(_))));
    assert!(matches!(heard.recv().await, Some(Heard::Publish(_))), "it had arrived");
    let (port, _heard) = broker(vec![Manner::RefusesLogin]).await;
    assert!(matches!(send(port).await, Outcome::Misconfigured { .. }));
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(matches!(send(port).await, Outcome::NotSent { .. }));
}
