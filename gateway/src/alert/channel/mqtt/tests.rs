//! MQTT against a broker of a few packets; a real one is in the end-to-end tests.

use firmware_protocol::derived::IncidentState;
use rumqttc::mqttbytes::v4::{ConnAck, PubAck};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::alert::outbox::Kind;
use crate::alert::settings::Target;
use crate::alert::testing::{config, incident, letter, sender};

/// What the broker does with the message.
#[derive(Clone, Copy)]
enum End {
    Acknowledges,
    Closes,
    RefusesLogin,
}

async fn broker(end: End) -> (u16, oneshot::Receiver<Publish>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, published) = oneshot::channel();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut connection = Connection { stream: Box::new(tcp), input: BytesMut::new() };
        let Packet::Connect(connect) = connection.read().await.unwrap() else { panic!("no CONNECT") };
        assert_eq!(connect.login.map(|login| login.username).as_deref(), Some("gw"));
        let code = match end {
            End::RefusesLogin => ConnectReturnCode::BadUserNamePassword,
            End::Acknowledges | End::Closes => ConnectReturnCode::Success,
        };
        connection.write(&Packet::ConnAck(ConnAck { session_present: false, code })).await.unwrap();
        let Ok(Packet::Publish(publish)) = connection.read().await else { return };
        if let End::Acknowledges = end {
            connection.write(&Packet::PubAck(PubAck::new(publish.pkid))).await.unwrap();
        }
        told.send(publish).unwrap();
    });
    (port, published)
}

async fn send(port: u16) -> Outcome {
    let mqtt = Mqtt {
        host: "127.0.0.1".into(),
        port,
        tls: None,
        client_id: "gw-alerts".into(),
        login: Some(("gw".into(), None)),
        topic: "gateway/gw/alerts".into(),
        template: None,
    };
    let letter = letter(vec![(Kind::Opened, incident(7, 0, IncidentState::Open))]);
    let message = Message::of(letter, &config("mqtt", Target::Mqtt(mqtt.clone())), &sender());
    MqttChannel::new(&mqtt, Duration::from_secs(20)).send(&message).await
}

#[tokio::test]
async fn a_message_is_taken_when_the_broker_acknowledges_it() {
    let (port, published) = broker(End::Acknowledges).await;
    assert!(matches!(send(port).await, Outcome::Sent(_)));
    let publish = published.await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
    assert_eq!((publish.topic.as_str(), publish.qos), ("gateway/gw/alerts", QoS::AtLeastOnce));
    assert_eq!(body["id"], "edge-1/mqtt/0000000000000007-opened");
    assert_eq!((&body["incidents"][0]["device"], &body["kind"]), (&"pump-7".into(), &"opened".into()));
}

#[tokio::test]
async fn in_doubt_it_may_have_arrived_and_a_refused_login_is_a_setting_to_mend() {
    let (port, published) = broker(End::Closes).await;
    assert!(matches!(send(port).await, Outcome::Unknown { .. }));
    assert!(published.await.is_ok(), "it had arrived");
    let (port, _published) = broker(End::RefusesLogin).await;
    assert!(matches!(send(port).await, Outcome::Misconfigured { .. }));
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(matches!(send(port).await, Outcome::NotSent { .. }));
}
