//! A broker of a few packets; a real one is in the end-to-end tests.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Connection;

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Acknowledges,
    /// Takes so many messages, acknowledges none of them and closes.
    ClosesAfter(usize),
    /// Takes all and says nothing.
    Silent,
    RefusesLogin,
}

/// What a client said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Connect(Connect),
    Publish(Publish),
    Ping,
    /// It left by DISCONNECT.
    Left,
}

/// One connection after the other, each in its manner; those that come after the last one as that.
pub(crate) async fn broker(manners: Vec<Manner>) -> (u16, mpsc::UnboundedReceiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for at in 0.. {
            let manner = manners[at.min(manners.len() - 1)];
            let (tcp, _) = listener.accept().await.unwrap();
            let connection = Connection { stream: Box::new(tcp), input: BytesMut::new(), output: BytesMut::new() };
            serve(connection, manner, &heard).await;
        }
    });
    (port, hears)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "a publisher sends no more than these of the library's packets")]
async fn serve(mut connection: Connection, manner: Manner, heard: &mpsc::UnboundedSender<Heard>) {
    let tell = |what| heard.send(what).is_ok();
    let mut published = 0;
    while let Ok(packet) = connection.read().await {
        let answer = match packet {
            Packet::Connect(connect) => {
                tell(Heard::Connect(connect));
                let refuses = manner == Manner::RefusesLogin;
                let code = if refuses { ConnectReturnCode::BadUserNamePassword } else { ConnectReturnCode::Success };
                Some(Packet::ConnAck(ConnAck { session_present: false, code }))
            }
            Packet::Publish(publish) => {
                let id = publish.pkid;
                tell(Heard::Publish(publish));
                published += 1;
                match manner {
                    Manner::Acknowledges => Some(Packet::PubAck(PubAck::new(id))),
                    Manner::ClosesAfter(most) if published >= most => return,
                    Manner::ClosesAfter(_) | Manner::Silent | Manner::RefusesLogin => None,
                }
            }
            Packet::PingReq => {
                tell(Heard::Ping);
                (manner != Manner::Silent).then_some(Packet::PingResp)
            }
            Packet::Disconnect => {
                tell(Heard::Left);
                return;
            }
            other => panic!("{other:?}"),
        };
        if let Some(answer) = answer
            && connection.write(&answer).await.is_err()
        {
            return;
        }
    }
}
