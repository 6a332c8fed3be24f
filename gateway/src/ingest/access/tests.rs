//! Who is let in, and what they may do: each way in against each rule.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::passwords::testing::{QUICK, quick};
use super::*;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

fn users(dir: &TempDir, lines: &[(&str, &str)]) -> PathBuf {
    let path = dir.path().join("users");
    let text: String = lines.iter().map(|(name, hash)| format!("{name}:{hash}\n")).collect();
    fs::write(&path, text).expect("writable");
    path
}

fn access(config: Config) -> Arc<Access> {
    Arc::new(Access::new(config, "listen", Security::default()).expect("valid"))
}

/// One user: "pump" with "secret".
fn with_pump(dir: &TempDir, config: Config) -> Arc<Access> {
    access(Config { users_file: Some(users(dir, &[("pump", &QUICK)])), ..config })
}

const STRICT: Config =
    Config { users_file: None, admits_anonymous: false, identity_from_certificate: false, rules: Vec::new() };

fn claim(username: Option<&str>, password: Option<&str>) -> Claim {
    Claim {
        client_id: "pump-7".into(),
        username: username.map(str::to_owned),
        password: password.map(Password::new),
        certificate: None,
        peer: PEER,
    }
}

fn by_certificate(name: &str) -> Claim {
    Claim { certificate: Some(name.into()), ..claim(Some("root"), Some("wrong")) }
}

async fn asked(access: &Arc<Access>, claim: Claim) -> Result<Option<String>, Denied> {
    access.clone().admit(claim).await.map(|grant| grant.user().map(str::to_owned))
}

fn named(name: &str) -> Result<Option<String>, Denied> {
    Ok(Some(name.to_owned()))
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("temporary directory")
}

fn rule(users: &[&str], client_ids: &[&str], publish: &[&str], read: &[&str]) -> Rule {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let filters = |texts: &[&str]| texts.iter().map(|text| Filter::new(text)).collect();
    Rule { users: texts(users), client_ids: texts(client_ids), publish: filters(publish), read: filters(read) }
}

#[tokio::test]
async fn with_a_users_file_only_the_right_password_lets_in() {
    let dir = temporary();
    let access = with_pump(&dir, STRICT);
    for _cold_then_known in 0..2 {
        assert_eq!(asked(&access, claim(Some("pump"), Some("secret"))).await, named("pump"));
        assert_eq!(asked(&access, claim(Some("pump"), Some("Secret"))).await, Err(Denied::BadCredentials));
        assert_eq!(asked(&access, claim(Some("pump"), None)).await, Err(Denied::BadCredentials));
        assert_eq!(asked(&access, claim(Some("fan"), Some("secret"))).await, Err(Denied::BadCredentials));
        assert_eq!(asked(&access, claim(None, None)).await, Err(Denied::NotAuthorized));
        assert_eq!(asked(&access, claim(None, Some("secret"))).await, Err(Denied::NotAuthorized));
    }
}

#[tokio::test]
async fn anonymous_clients_come_in_where_that_is_allowed_but_a_wrong_password_never_does() {
    let dir = temporary();
    let access_of = |config: Config| access(Config { admits_anonymous: true, ..config });
    let open = access_of(STRICT);
    assert_eq!(asked(&open, claim(None, None)).await, Ok(None));
    assert_eq!(
        asked(&open, claim(Some("root"), Some("x"))).await,
        Ok(None),
        "a name that was not proven counts for nothing"
    );
    let both = access_of(Config { users_file: Some(users(&dir, &[("pump", &QUICK)])), ..STRICT });
    assert_eq!(asked(&both, claim(None, None)).await, Ok(None));
    assert_eq!(asked(&both, claim(Some("pump"), Some("wrong"))).await, Err(Denied::BadCredentials));
}

#[tokio::test]
async fn a_certificate_names_the_user_where_that_is_wanted() {
    let dir = temporary();
    let wanted = with_pump(&dir, Config { identity_from_certificate: true, ..STRICT });
    assert_eq!(asked(&wanted, by_certificate("plc")).await, named("plc"));
    assert_eq!(asked(&wanted, claim(Some("pump"), Some("secret"))).await, named("pump"));
    let not_wanted = with_pump(&dir, STRICT);
    assert_eq!(asked(&not_wanted, by_certificate("plc")).await, Err(Denied::BadCredentials));
}

#[tokio::test]
async fn a_thousand_clients_that_come_back_take_one_hash_and_so_does_one_that_is_always_wrong() {
    let dir = temporary();
    let access = with_pump(&dir, STRICT);
    let hashes = || access.metrics.password_hashes.get();
    let storm = (0..1_000).map(|_| tokio::spawn(access.clone().admit(claim(Some("pump"), Some("secret")))));
    for admitted in storm.collect::<Vec<_>>() {
        admitted.await.expect("no panic").expect("comes in");
    }
    // Two may have begun before the first was done.
    assert!(hashes() <= 2, "{}", hashes());
    let before = hashes();
    for _ in 0..100 {
        for name in ["pump", "nobody"] {
            assert_eq!(asked(&access, claim(Some(name), Some("wrong"))).await, Err(Denied::BadCredentials));
        }
    }
    assert_eq!(hashes() - before, 2, "one of the known and one of the unknown user");
}

fn replaced(access: &Access, path: &Path, text: &str) {
    fs::write(path, text).expect("writable");
    access.refresh();
    access.refresh();
}

#[tokio::test]
async fn a_changed_users_file_is_taken_up_and_revokes_who_is_gone() {
    let dir = temporary();
    let path = users(&dir, &[("stays", &QUICK), ("changes", &QUICK), ("goes", &QUICK)]);
    let access = access(Config { users_file: Some(path.clone()), ..STRICT });
    let admit = async |name: &str| access.clone().admit(claim(Some(name), Some("secret"))).await;
    let grants = [admit("stays").await, admit("changes").await, admit("goes").await].map(|g| g.expect("comes in"));
    assert_eq!(grants.each_ref().map(Grant::is_revoked), [false; 3]);

    let (stays, new) = (&*QUICK, quick(b"new"));
    replaced(&access, &path, &format!("stays:{stays}\nchanges:{new}\ncomes:{new}\n"));
    assert_eq!(grants.each_ref().map(Grant::is_revoked), [false, true, true]);
    assert_eq!(admit("goes").await.map(drop), Err(Denied::BadCredentials));
    assert_eq!(admit("changes").await.map(drop), Err(Denied::BadCredentials));
    assert_eq!(asked(&access, claim(Some("comes"), Some("new"))).await, named("comes"));
}

#[tokio::test]
async fn a_broken_users_file_keeps_the_old_users() {
    let dir = temporary();
    let path = users(&dir, &[("pump", &QUICK)]);
    let access = access(Config { users_file: Some(path.clone()), ..STRICT });
    let reloads = |outcome| access.metrics.users_reloads.get_or_create(&access.outcome(outcome)).get();
    replaced(&access, &path, "pump:hunter2\n");
    assert_eq!((reloads("refused"), reloads("renewed")), (1, 0));
    assert_eq!(asked(&access, claim(Some("pump"), Some("secret"))).await, named("pump"));
    let text = Access::new(access.config.clone(), "listen", Security::default()).expect_err("broken").to_string();
    assert!(text.contains("line 1: not an argon2id hash") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn without_rules_all_is_published_and_the_gateways_own_is_read() {
    let mut grant =
        access(Config { admits_anonymous: true, ..STRICT }).admit(claim(None, None)).await.expect("comes in");
    assert!(grant.may_publish(b"what/ever") && grant.may_publish(b"gateway/x"));
    assert!(grant.may_read("gateway/#") && grant.may_read("gateway/windows/+"));
    assert!(grant.may_read("spBv1.0/plant/NCMD/press"), "where a Sparkplug node is asked for its birth");
    assert!(!grant.may_read("#") && !grant.may_read("sensors/#") && !grant.may_read("$share/g/gateway/#"));
}

/// (user, client id, topic) and whether it may be published.
const MATRIX: &[(&str, &str, &str, bool)] = &[
    ("pump", "pump-7", "sensors/pump/x", true),
    ("pump", "pump-7", "sensors/pump", true),
    ("pump", "pump-7", "sensors/fan/x", false),
    ("pump", "pump-7", "raw/pump-7", true),
    ("pump", "pump-7", "raw/pump-8", false),
    ("pump", "pump-7", "$SYS/pump", false),
    ("plc-1", "plc-1", "plant/line/3", true),
    ("plc-1", "plc-1", "sensors/plc-1/x", true),
    ("plc-1", "plc-1", "plant", true),
    ("plc-1", "plc-1", "raw/plc-1", true),
    ("plc-1", "plc-1", "planet", false),
    ("pump", "pump-7", "plant/line/3", false),
    // Names that would be wildcards get nothing by them.
    ("+", "+x", "sensors/pump/x", false),
    ("+", "+x", "sensors/+/x", false),
    ("#", "#x", "sensors/pump/x", false),
    ("a/b", "a/b", "sensors/a/b/x", false),
];

fn rules() -> Config {
    let rules = vec![
        rule(&["*"], &["{user}*"], &["sensors/{user}/#", "raw/{client_id}"], &[]),
        rule(&["plc-*"], &[], &["plant/#"], &["gateway/windows/{user}"]),
    ];
    Config { identity_from_certificate: true, rules, ..STRICT }
}

fn as_client(user: &str, client_id: &str) -> Claim {
    Claim { client_id: client_id.into(), ..by_certificate(user) }
}

#[tokio::test]
async fn rules_allow_what_they_say_and_nothing_else() {
    let access = access(rules());
    for (user, client_id, topic, allowed) in MATRIX {
        let mut grant = access.clone().admit(as_client(user, client_id)).await.expect("comes in");
        for _asked_twice in 0..2 {
            assert_eq!(grant.may_publish(topic.as_bytes()), *allowed, "{user} {client_id} {topic}");
        }
    }
    let grant = access.clone().admit(as_client("plc-1", "plc-1")).await.expect("comes in");
    assert!(grant.may_read("gateway/windows/plc-1") && !grant.may_read("gateway/#"));
    let grant = access.clone().admit(as_client("pump", "pump")).await.expect("comes in");
    assert!(!grant.may_read("gateway/windows/pump"));
}

#[tokio::test]
async fn nobody_takes_the_client_id_of_another_user() {
    let mut config = rules();
    config.rules.truncate(1);
    config.admits_anonymous = true;
    let access = access(config);
    assert_eq!(asked(&access, as_client("pump", "pump-7")).await, named("pump"));
    assert_eq!(asked(&access, as_client("pump", "fan-7")).await, Err(Denied::IdRejected));
    assert_eq!(
        asked(&access, claim(None, None)).await,
        Err(Denied::NotAuthorized),
        "no rule is for those without a name"
    );
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let dir = temporary();
    let access = with_pump(&dir, STRICT);
    let claim = claim(Some("pump"), Some("secret"));
    let mut shown = format!("{claim:?} {:?}", access.config);
    let grant = access.clone().admit(claim).await.expect("comes in");
    shown += &format!("{access:?} {grant:?} {:?}", Denied::BadCredentials);
    let bytes = format!("{:?}", b"secret");
    let hash = QUICK.rsplit('$').next().expect("has parts");
    for secret in ["secret", hash, "argon2id", bytes.trim_matches(['[', ']'])] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("pump-7"));
}
