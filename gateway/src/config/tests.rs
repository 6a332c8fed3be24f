//! What a configuration promises: all faults with their places, precedence, no secret in sight, an example that is true.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::forward::{Compression, SaslMechanism, SinkConfig, TlsFiles};
use crate::ingest::MqttVersion;
use crate::ingest::access::{self, Filter, Rule};
use crate::ingest::tls::{Client, ClientAuth, ClientConfig, KeyPair, ServerConfig};

const EXAMPLE: &str = include_str!("../../gateway.example.toml");

/// Flags none, and these variables.
fn with_variables(variables: &'static [(&'static str, &'static str)]) -> Overrides {
    let lookup = move |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    Overrides { environment: Environment::new("edge-7", lookup), ..Overrides::default() }
}

fn load(text: &str) -> Result<Loaded, Faults> {
    let variables = &[
        ("INFLUX_TOKEN", "hunter2"),
        ("MQTT_PASSWORD", "swordfish"),
        ("KAFKA_PASSWORD", "hunter2"),
        ("PLC_TOKEN", "mellon"),
        ("SLACK_URL", "https://hooks.example.com/services/hunter2"),
        ("WEBHOOK_URL", "http://127.0.0.1:9000/hunter2"),
        ("WEBHOOK_TOKEN", "hunter2"),
        ("MAIL_PASSWORD", "hunter2"),
    ];
    Loaded::parse("gateway.toml", text, &with_variables(variables))
}

fn accept(text: &str) -> Config {
    match load(text) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{text}\n{faults}"),
    }
}

fn report(text: &str) -> String {
    load(text).expect_err(text).to_string()
}

/// A text with exactly one fault, its `line:column`, a part of its message and a part of its hint.
/// `[listen]` is added at the end, so that the text need not open a door.
const BROKEN: &[(&str, &str, &str, &str)] = &[
    // Syntax.
    ("[gateway\n", "1:9", "not TOML: unclosed table", "mend the syntax"),
    ("[gateway]\nname = edge\n", "2:8", "must be quoted", "mend the syntax"),
    ("[gateway]\nname = \"a\"\nname = \"b\"\n", "3:1", "duplicate key", "mend the syntax"),
    // Unknown keys and tables.
    ("[gatewya]\n", "1:2", "unknown table or key `gatewya`", "did you mean `gateway`?"),
    ("site = \"a\"\n", "1:1", "unknown table or key `site`", "`site` belongs below [gateway]"),
    ("colour = 1\n", "1:1", "unknown table or key `colour`", "the tables are gateway, http"),
    ("[gateway]\ndata-dir = \"/d\"\n", "2:1", "unknown key `data-dir` in [gateway]", "did you mean `data_dir`?"),
    ("[[mqtt]]\nkeepalive = \"30s\"\n", "2:1", "unknown key `keepalive` in [[mqtt]]", "did you mean `keep_alive`?"),
    ("[detect]\ncolour = 1\n", "2:1", "unknown key `colour` in [detect]", "the keys here are enabled, window"),
    ("[queue]\nbudget = 1\n", "2:1", "unknown key `budget` in [queue]", "the keys here are engine, max_size"),
    ("[[mqtt]]\npassword = \"hunter2\"\n", "2:1", "unknown key `password`", "`password_file` or `password_env`"),
    // Wrong types.
    ("[gateway]\nname = 7\n", "2:8", "`name` is an integer, not a text", "write a text in quotes"),
    ("[gateway]\n  shutdown_grace = 10\n", "2:20", "`shutdown_grace` is an integer, not a duration", "such as \"30s\""),
    ("[http]\nenabled = \"yes\"\n", "2:11", "`enabled` is \"yes\", not true or false", "write true or false"),
    (
        "[detect]\nchannels_max = -1\n",
        "2:16",
        "`channels_max` is an integer, not a whole number of at least 0",
        "at least 0",
    ),
    ("[[mqtt]]\nsubscribe = \"a/#\"\n", "2:13", "`subscribe` is \"a/#\", not an array of texts", "an array of texts"),
    ("[mqtt]\nname = \"a\"\n", "1:1", "`mqtt` is not an array of tables", "write [[mqtt]]"),
    ("[[http]]\n", "1:1", "`http` is not a table", "write [http] once"),
    ("kafka = [1]\n", "1:10", "`kafka` holds something that is not a table", "write [[kafka]]"),
    ("[http]\nbind = 2026-11-21\n", "2:8", "`bind` is a date or time, not an ip address", "an ip address and a port"),
    // Durations and sizes.
    (
        "[gateway]\nshutdown_grace = \"10 s\"\n",
        "2:18",
        "`shutdown_grace` is \"10 s\", not a duration",
        "one of ms, s, m, h, d",
    ),
    ("[detect]\nlearn = \"1week\"\n", "2:9", "`learn` is \"1week\", not a duration", "one of ms, s, m, h, d"),
    ("[[file]]\nrotate = \"64Mb\"\n", "2:10", "`rotate` is \"64Mb\", not a size", "KiB, MiB, GiB"),
    ("[[file]]\nrotate = \"0B\"\n", "2:10", "`rotate` is \"0B\", outside \"64KiB\" to \"16GiB\"", "choose from"),
    ("[[mqtt]]\nkeep_alive = \"30500ms\"\n", "2:14", "a part of a second", "write whole seconds"),
    // Alerts.
    ("[[alert]]\nkind = \"slak\"\nurl_env = \"SLACK_URL\"\n", "2:8", "is \"slak\"", "did you mean \"slack\"?"),
    ("[[alert]]\nurl_env = \"SLACK_URL\"\n", "1:1", "[[alert]] has no `kind`", "\"slack\", \"webhook\""),
    ("[[alert]]\nkind = \"slack\"\n", "1:1", "[[alert]] has no address", "`url_file` or `url_env`"),
    (
        "[[alert]]\nkind = \"slack\"\nurl_env = \"PLC_TOKEN\"\n",
        "3:11",
        "names an address that is no http",
        "https://host/path",
    ),
    (
        "[[alert]]\nkind = \"slack\"\nurl = \"https://x/hunter2\"\nurl_env = \"SLACK_URL\"\n",
        "3:1",
        "unknown key `url`",
        "`url_file` or `url_env`",
    ),
    (
        "[[alert]]\nkind = \"slack\"\nurl_env = \"SLACK_URL\"\nquiet = [\"22-6\"]\n",
        "4:9",
        "`quiet` holds \"22-6\", which is no span of the day",
        "[\"22:00-06:00\"]",
    ),
    (
        "[[alert]]\nkind = \"webhook\"\nurl_env = \"WEBHOOK_URL\"\ntemplate = '{\"a\": \"{incident.titel}\"}'\n",
        "4:12",
        "has the placeholder {incident.titel}, which stands for nothing",
        "did you mean {incident.title}?",
    ),
    (
        "[[alert]]\nkind = \"webhook\"\nurl_env = \"WEBHOOK_URL\"\ntemplate = '{\"a\": {title}'\n",
        "4:12",
        "is no JSON once its placeholders are filled",
        "a placeholder in quotes becomes text",
    ),
    (
        "[[alert]]\nkind = \"smtp\"\nfrom = \"a@b.example\"\nto = [\"nobody\"]\n",
        "4:6",
        "`to` holds \"nobody\", which is no address",
        "ops@example.com",
    ),
    (
        "[[alert]]\nkind = \"smtp\"\nfrom = \"a@b.example\"\nto = [\"a@b.example\"]\nserver = \"mail.example:25\"\ntls = \"none\"\nusername = \"u\"\npassword_env = \"MAIL_PASSWORD\"\n",
        "6:7",
        "the password for mail.example would cross the network in the clear",
        "\"starttls\" or \"implicit\"",
    ),
    ("[[alert]]\nkind = \"mqtt\"\ntopic = \"a/#\"\n", "3:9", "no topic that can be published to", "without + and #"),
    (
        "[[alert]]\nkind = \"mqtt\"\n[[alert]]\nkind = \"mqtt\"\n",
        "3:1",
        "two alert channels have the name \"mqtt\"",
        "its own `name`",
    ),
    ("[[file]]\nname = \"alerts\"\n", "2:8", "the name \"alerts\" belongs to the gateway itself", "choose another"),
    // What sinks get.
    ("[[file]]\nlogs = [\"window\"]\n", "2:8", "holds \"window\", which is no log", "did you mean \"windows\"?"),
    ("[[file]]\nlogs = []\n", "2:8", "the sink would get nothing", "\"raw\", \"windows\""),
    ("[[file]]\ndevices = [\"a\", \"!\"]\n", "2:11", "holds \"!\": it is empty", "\"!pump-9\""),
    ("[[file]]\ntopics = [\"!a#\"]\n", "2:10", "`#` must be the whole last level", "\"sensors/#\""),
    (
        "[[file]]\nlogs = [\"gaps\"]\ntopics = [\"a\"]\n",
        "3:10",
        "`topics` is for raw records, which `logs` leaves out",
        "add \"raw\"",
    ),
    ("[[webhook]]\nname = \"a\"\n", "1:1", "[[webhook]] has no `url`", "https://host/path"),
    ("[[webhook]]\nurl = \"http://me:hunter2@a/\"\n", "2:7", "`url` holds credentials", "keys of their own"),
    ("[[webhook]]\nurl = \"http://a\"\nheaders = [\"Host: b\"]\n", "3:11", "the sink's own to set", "Name: value"),
    (
        "[[webhook]]\nurl = \"http://a\"\ntoken_header = \"X-Api-Key: a\"\n",
        "3:16",
        "has no {token} in its value",
        "X-Api-Key: {token}",
    ),
    (
        "[[mqtt_sink]]\ntopic = \"a/{devise}\"\n",
        "2:9",
        "has the placeholder {devise}, which stands for nothing here",
        "did you mean {device}?",
    ),
    ("[[mqtt_sink]]\ntopic = \"a/{topic}\"\n", "2:9", "the placeholder {topic}", "one of {gateway}, {log}, {device}"),
    ("[[mqtt_sink]]\nraw_topic = \"a/#\"\n", "2:13", "holds + or #", "a topic such as"),
    ("[[mqtt_sink]]\nretain = [\"incident\"]\n", "2:10", "which is no log", "did you mean \"incidents\"?"),
    ("[[mqtt_sink]]\ntopics = [\"a\"]\n", "2:10", "`logs` leaves out", "add \"raw\""),
    ("[[mqtt_sink]]\n[[file]]\nname = \"mqtt-out\"\n", "1:1", "two sinks have the name", "its own `name`"),
    // Addresses.
    (
        "[http]\nbind = \"localhost:8080\"\n",
        "2:8",
        "`bind` is \"localhost:8080\", not an ip address",
        "an ip address and a port",
    ),
    ("[[mqtt]]\nurl = \"broker:1883\"\n", "2:7", "has the scheme \"broker\", not mqtt", "mqtt://host:port"),
    ("[[mqtt]]\nurl = \"mqtt://\"\n", "2:7", "`url` has no host", "mqtt://host:port"),
    ("[[mqtt]]\nurl = \"wss://a:8883\"\n", "2:7", "has the scheme \"wss\", not mqtt", "mqtt://host:port"),
    ("[[mqtt]]\nurl = \"mqtt://a:1883/x\"\n", "2:7", "more than a host and a port", "mqtt://host:port"),
    ("[[mqtt]]\nurl = \"mqtt://a:70000\"\n", "2:7", "invalid port number", "mqtt://host:port"),
    ("[[mqtt]]\nurl = \"mqtt://u:hunter2@a\"\n", "2:7", "`url` holds credentials", "keys of their own"),
    (
        "[[influx]]\nurl = \"ftp://a\"\norg = \"o\"\ntoken_env = \"INFLUX_TOKEN\"\n",
        "2:7",
        "not http or https",
        "http://host",
    ),
    (
        "[[influx]]\nurl = \"http://a/x?y\"\norg = \"o\"\ntoken_env = \"INFLUX_TOKEN\"\n",
        "2:7",
        "`url` has more than a host, a port and a path",
        "http://host",
    ),
    (
        "[[influx]]\nproxy = \"socks://a\"\norg = \"o\"\ntoken_env = \"INFLUX_TOKEN\"\n",
        "2:9",
        "`proxy` has the scheme \"socks\"",
        "http://host:port",
    ),
    (
        "[[influx]]\nproxy = \"http://u:hunter2@a\"\norg = \"o\"\ntoken_env = \"INFLUX_TOKEN\"\n",
        "2:9",
        "`proxy` holds credentials",
        "HTTPS_PROXY",
    ),
    (
        "[[influx]]\ntls_ca_file = \"ca\"\norg = \"o\"\ntoken_env = \"INFLUX_TOKEN\"\n",
        "1:1",
        "the connection is a plain one",
        "https://",
    ),
    ("[[kafka]]\ntopic_names = { raws = \"a\" }\n", "2:15", "\"raws\", which is no kind", "raw, windows"),
    ("[[kafka]]\ntopic_names = { raw = \"a/b\" }\n", "2:15", "does not allow in a topic", "1 to 249"),
    ("[[kafka]]\ncompression = \"lz5\"\n", "2:15", "not one of the choices", "did you mean \"lz4\"?"),
    ("[[kafka]]\ntls_ca_file = \"ca\"\n", "1:1", "the connection is a plain one", "`tls = true`"),
    ("[[kafka]]\nsasl = \"plain\"\nusername = \"u\"\n", "2:8", "without a whole login", "password_file"),
    ("[[kafka]]\nusername = \"u\"\n", "1:1", "`sasl` is \"none\"", "scram-sha-512"),
    ("[[kafka]]\nbootstrap = \"a:9092,b\"\n", "2:13", "\"b\", which is not a host and a port", "commas between"),
    ("[[kafka]]\nbootstrap = \"a:0\"\n", "2:13", "with a port that is none of 1 to 65535", "host:port"),
    ("[listen]\nbind = \"127.0.0.1:8080\"\n", "2:8", "are both 127.0.0.1:8080", "another port"),
    // Tokens.
    ("[[http.token]]\nname = \"a\"\n", "1:1", "a token without a secret", "`token_file` or `token_env`"),
    ("[[http.token]]\ntoken_env = \"PLC_TOKEN\"\n", "1:1", "[[http.token]] has no `name`", "its holder"),
    (
        "[[http.token]]\nname = \"a\"\ntoken_env = \"PLC_TOKEN\"\npublish = [\"a#\"]\n",
        "4:11",
        "`#` must be the whole last level",
        "\"sensors/#\"",
    ),
    (
        "[[http.token]]\nname = \"a\"\ntoken_env = \"PLC_TOKEN\"\n[[http.token]]\nname = \"a\"\ntoken_env = \"MQTT_PASSWORD\"\n",
        "5:8",
        "two tokens have the name \"a\"",
        "its own `name`",
    ),
    (
        "[[http.token]]\nname = \"a\"\ntoken_env = \"PLC_TOKEN\"\n[[http.token]]\nname = \"b\"\ntoken_env = \"PLC_TOKEN\"\n",
        "4:1",
        "two tokens have the same secret",
        "of its own",
    ),
    ("[http]\ntoken = \"mellon\"\n", "2:9", "`token` is not an array of tables", "write [[http.token]]"),
    // Who may come in.
    (
        "[http]\nbind = \"0.0.0.0:8080\"\n",
        "2:8",
        "can be reached from outside, and nobody has to say",
        "[[http.token]]",
    ),
    (
        "[listen]\nbind = \"0.0.0.0:1883\"\n",
        "2:8",
        "can be reached from outside, and nobody has to say",
        "`users_file`",
    ),
    ("[listen]\nbind = \"[::]:1883\"\n", "2:8", "can be reached from outside, and nobody has to say", "gateway passwd"),
    ("[listen]\ntls_cert_file = \"c\"\n", "2:17", "`tls_cert_file` without its private key", "`tls_key_file`"),
    ("[listen]\ntls_key_file = \"k\"\n", "2:16", "`tls_key_file` without its certificate", "`tls_cert_file`"),
    (
        "[listen]\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_client_auth = \"required\"\n",
        "4:19",
        "no CA is named",
        "`tls_client_ca_file`",
    ),
    (
        "[listen]\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_client_ca_file = \"ca\"\n",
        "4:22",
        "no client is asked for a certificate",
        "`tls_client_auth`",
    ),
    (
        "[listen]\ntls_client_ca_file = \"ca\"\ntls_client_auth = \"optional\"\n",
        "3:19",
        "without a certificate of the gateway itself",
        "`tls_cert_file`",
    ),
    ("[listen]\nidentity_from_certificate = true\n", "2:29", "without certificates of clients", "`tls_client_auth`"),
    ("[listen]\n[[listen.allow]]\nusers = [\"a\"]\n", "2:1", "a rule that allows nothing", "`publish` or `read`"),
    (
        "[listen]\n[[listen.allow]]\npublish = [\"{device}/#\"]\n",
        "3:11",
        "that are no placeholder",
        "{user} and {client_id}",
    ),
    (
        "[listen]\n[[listen.allow]]\nread = [\"a\"]\nusers = [\"{user}\"]\n",
        "4:9",
        "that are no placeholder",
        "no placeholders here",
    ),
    ("[[mqtt]]\ntls_ca_file = \"ca\"\n", "1:1", "`url` is that of a plain connection", "mqtts://"),
    ("[[mqtt]]\nurl = \"mqtts://b\"\ntls_alpn = [\"\"]\n", "3:12", "names of 1 to 255 bytes", "x-amzn-mqtt-ca"),
    // Impossible values.
    ("[[mqtt]]\nqos = 3\n", "2:7", "`qos` is 3, outside 0 to 2", "choose from 0 to 2"),
    ("[[mqtt]]\nversion = \"3.11\"\n", "2:11", "is \"3.11\", which is not one of", "did you mean \"3.1.1\"?"),
    ("[[mqtt]]\npacket_max = \"0KiB\"\n", "2:14", "`packet_max` is \"0B\", outside", "choose from"),
    ("[[mqtt]]\nsubscribe = []\n", "2:13", "holds 0 topic filters", "name what to subscribe to"),
    ("[[mqtt]]\nsubscribe = [\"a/#/b\"]\n", "2:13", "`#` must be the whole last level", "\"sensors/#\""),
    ("[[mqtt]]\nsubscribe = [\"a\", \"b+\"]\n", "2:13", "\"b+\": `+` must be a whole level", "\"sensors/#\""),
    ("[[mqtt]]\n[[mqtt]]\nurl = \"mqtt://b\"\n", "2:1", "two brokers have the name \"mqtt\"", "its own `name`"),
    ("[[mqtt]]\nname = \"Plant 1\"\n", "2:8", "is \"Plant 1\", which cannot be a name", "a-z, 0-9"),
    ("[[serial]]\npath = \"/dev/a\"\nbaud = 9601\n", "3:8", "`baud` is 9601, which is not a standard", "9600, 19200"),
    ("[[serial]]\npath = \"\"\n", "2:8", "`path` is empty", "name the device"),
    ("[[serial]]\nbaud = 9600\n", "1:1", "[[serial]] has no `path`", "/dev/serial/by-id"),
    (
        "[[serial]]\npath = \"/dev/a\"\n[[serial]]\npath = \"/dev/b\"\n",
        "3:1",
        "two lines have the name \"serial\"",
        "its own `name`",
    ),
    (
        "[[serial]]\npath = \"/dev/a\"\n[[serial]]\nname = \"b\"\npath = \"/dev/./a\"\n",
        "5:8",
        "two lines have the path /dev/./a",
        "leave one of them out",
    ),
    ("[detect]\nwindow = \"7m\"\n", "2:10", "`window` does not divide a day", "\"10m\""),
    ("[detect]\nwindow = \"0s\"\n", "2:10", "`window` is outside 1s to 1d", "\"10m\""),
    ("[detect]\nhop = \"4m\"\n", "2:7", "`hop` does not divide `window`, which is \"10m\"", "such as \"5m\""),
    ("[detect]\nhop = \"30s\"\n", "2:7", "`hop` is less than a 12th of `window`", "\"0s\" for windows side by side"),
    ("[detect]\nallowed_lateness = \"2d\"\n", "2:20", "is \"2d\", outside \"0s\" to \"1d\"", "choose from"),
    ("[detect]\nwindow = \"1s\"\nallowed_lateness = \"2h\"\n", "3:20", "keeps more than 4096 windows", "choose"),
    ("[detect]\nearly_every = \"10ms\"\n", "2:15", "is \"10ms\", neither \"0s\" nor within", "choose \"30s\""),
    ("[detect]\nlearn = \"1d\"\n", "2:9", "`learn` is \"1d\", outside \"2d\" to", "choose from \"2d\""),
    ("[detect]\nfalse_alarms_per_month = nan\n", "2:26", "is NaN, outside 0.001 to 1000.0", "choose from"),
    (
        "[http]\nmemory_max = \"2MiB\"\n",
        "2:14",
        "is \"2MiB\", less than `body_max`, \"4MiB\"",
        "room for several bodies",
    ),
    ("[http]\nbody_max = \"1GiB\"\n", "2:12", "`body_max` is \"1GiB\", outside", "choose from"),
    ("[http]\nhead_timeout = \"0s\"\n", "2:16", "`head_timeout` is \"0s\", outside", "choose from"),
    ("[listen]\nconnections_max = 0\n", "2:19", "`connections_max` is 0, outside 1", "choose from 1"),
    ("[queue]\nengine = \"rocksdb\"\n", "2:10", "is \"rocksdb\", which is not one of", "\"sled\", \"redb\""),
    ("[queue]\nwhen_full = \"drop\"\n", "2:13", "is \"drop\", which is not one of", "\"block\", \"drop_oldest\""),
    (
        "[queue]\nmax_size = \"63MiB\"\nquarantine_max = \"0B\"\n",
        "2:12",
        "is \"63MiB\", outside \"64MiB\"",
        "choose from",
    ),
    ("[queue]\ncommit_interval = \"2s\"\n", "2:19", "is \"2s\", outside \"0s\" to \"1s\"", "choose from"),
    ("[queue]\nreserve = \"1MiB\"\n", "2:11", "is \"1MiB\", neither \"0B\" nor within \"4MiB\"", "or \"0B\" for none"),
    ("[queue]\nderived_ttl = \"10s\"\n", "2:15", "is \"10s\", neither \"0s\" nor within \"1m\"", "or \"0s\" for none"),
    (
        "[queue]\nmax_size = \"64MiB\"\n",
        "2:12",
        "`max_size` \"64MiB\" leaves too little for records beside `reserve` \"8MiB\" and `quarantine_max` \"64MiB\"",
        "raise `max_size` to \"120MiB\" or more, or lower the other two",
    ),
    (
        "[queue]\nraw_ttl = \"1d\"\nkeep_delivered = \"7d\"\n",
        "3:18",
        "`keep_delivered` \"7d\" is longer than `raw_ttl` \"1d\"",
        "lower `keep_delivered`",
    ),
    (
        "[queue]\nraw_ttl = \"20m\"\n",
        "2:11",
        "`raw_ttl` \"20m\" is shorter than [detect] holds a window open, which is \"1530s\"",
        "raise `raw_ttl` to \"1530s\"",
    ),
    ("[gateway]\ndata_dir = \"\"\n", "2:12", "`data_dir` is empty", "name a directory"),
    ("[[kafka]]\ntopic_prefix = \"a b\"\n", "2:16", "does not allow in a topic", "a-z, A-Z"),
    ("[[kafka]]\nbatch_records_max = 0\n", "2:21", "`batch_records_max` is 0, outside 1", "choose from 1"),
    ("[[kafka]]\nname = \"a\"\n[[file]]\nname = \"a\"\n", "4:8", "two sinks have the name \"a\"", "its own `name`"),
    ("[[file]]\nname = \"detect\"\n", "2:8", "belongs to the gateway itself", "choose another"),
    ("[[file]]\ndir = \"/var/lib/gateway/x/../queue/y\"\n", "2:7", "lies in the queue's directory", "outside of it"),
    (
        "[[file]]\nname = \"a\"\ndir = \"/d\"\n[[file]]\ndir = \"/d/.\"\n",
        "5:7",
        "two file sinks write to",
        "its own `dir`",
    ),
    ("[[file]]\nformat = \"csv\"\n", "2:10", "is \"csv\", which is not one of", "\"line_protocol\", \"ndjson\""),
    ("[[decode]]\ntopic = \"a/#/b\"\n", "2:9", "`topic` cannot be used", "patterns look like"),
    ("[[decode]]\ntopic = \"{devise}/x\"\n", "2:9", "`topic` cannot be used", "patterns look like"),
    ("[[decode]]\ntopic = \"a/{kind}\"\n", "2:9", "`kind` cannot be a tag", "patterns look like"),
    ("[[decode]]\nfields = \"listed\"\n", "2:10", "no [[decode.channels]] lists any", "add [[decode.channels]]"),
    ("[[decode]]\ntags = { a = 1 }\n", "2:8", "`tags` is a table, not a table of texts", "{ floor = "),
    ("[[decode]]\ntime_format = \"%H:%M\"\n", "2:15", "does not name year, month and day", "patterns look like"),
    ("[[decode]]\n[[decode.channels]]\n", "2:1", "[[decode.channels]] has no `path`", "paths look like"),
    ("[[decode]]\n[[decode.channels]]\npath = \"a[\"\n", "3:8", "has [ without ]", "paths look like"),
    (
        "[[decode]]\n[[decode.channels]]\npath = \"a\"\nunit = \"bar\"\nto = \"degC\"\n",
        "4:8",
        "`bar` does not convert to `degC`, but to Pa hPa",
        "measures the same",
    ),
    (
        "[[decode]]\n[[decode.channels]]\npath = \"a\"\nunit = \"degX\"\nto = \"degC\"\n",
        "4:8",
        "`degX` is no unit that is known: degC degF K",
        "measures the same",
    ),
    ("[[decode]]\n[[decode.channels]]\npath = \"a\"\nmin = 2\nmax = 1\n", "4:7", "above `max` 1", "min <= reading"),
    ("[[decode]]\n[[decode.channels]]\npath = \"a\"\nword = {}\n", "4:1", "unknown key `word`", "`words`"),
    (
        "[[decode]]\nid = \"x\"\n[[decode]]\ntopic = \"y\"\nid = \"x\"\n",
        "5:6",
        "`id` cannot be used: `x` is what route 1 is called, too",
        "that no other [[decode]] has",
    ),
    (
        "[[decode]]\ntopic = \"y\"\n[[decode]]\ntopic = \"y\"\n",
        "3:1",
        "`id` cannot be used",
        "without one it is the topic",
    ),
    ("[[decode]]\nmeasurement = \"\"\n", "2:15", "`measurement` cannot be used", "a short name"),
    ("[[decode]]\nformat = \"jsn\"\n", "2:10", "is \"jsn\", which is not one of", "did you mean \"json\"?"),
    ("[[csv]]\npattern = \"*.csv\"\n", "1:1", "[[csv]] has no `dir`", "folder to watch"),
    ("[[csv]]\ndir = \"/in\"\n[[csv]]\ndir = \"/in/.\"\n", "4:7", "two [[csv]] watch /in/.", "its own `dir`"),
    ("[[csv]]\ndir = \"/var/lib/gateway/import\"\n", "2:7", "lies in the data directory", "outside of it"),
    ("[[csv]]\ndir = \"/in\"\npattern = \"a/*.csv\"\n", "3:11", "`pattern` has a /", "such as \"*.csv\""),
    ("[[csv]]\ndir = \"/in\"\nafter = \"remove\"\n", "3:9", "is \"remove\", which is not one of", "\"move\""),
    ("[upload]\ndelimiter = \"|\"\n", "2:13", "`delimiter` is \"|\", which is none of", "\"tab\""),
    ("[upload]\ntime_format = \"%H:%M\"\n", "2:15", "does not name year, month and day", "a pattern such as"),
    ("[upload]\ntime_format = \"DD.MM\"\n", "2:15", "is \"DD.MM\", which is none of", "a pattern such as"),
    ("[upload]\nutc_offset = \"CET\"\n", "2:14", "is \"CET\", which is no offset", "such as \"+01:00\""),
    ("[upload]\ntopic = \"a/#\"\n", "2:9", "has one of + #", "names of columns in braces"),
    ("[upload]\nrename = [\"a\"]\n", "2:10", "is not of the form", "[\"old=new\"]"),
    ("[upload]\ndecimal = \",\"\ndelimiter = \",\"\n", "2:11", "is a comma, and so is `delimiter`", "\";\" or \"tab\""),
    ("[upload]\ndate_column = \"d\"\n", "2:15", "`date_column` needs a `time_format`", "a pattern such as"),
    ("[upload]\nmax_size = \"0B\"\n", "2:12", "outside \"1KiB\"", "choose from"),
    ("[http]\nenabled = false\n[upload]\n", "1:1", "[upload] is answered by [http]", "`http.enabled`"),
    // Secrets, and what must be there.
    ("[[influx]]\norg = \"o\"\n", "1:1", "[[influx]] has no token", "`token_file` or `token_env`"),
    ("[[influx]]\ntoken_env = \"INFLUX_TOKEN\"\n", "1:1", "[[influx]] has no `org`", "organisation"),
    ("[[mqtt]]\nusername = \"u\"\npassword_env = \"NONE\"\n", "3:16", "names NONE, which is not set", "set NONE"),
    (
        "[[mqtt]]\nusername = \"u\"\npassword_env = \"hunter2\"\n",
        "3:16",
        "is not the name of a variable",
        "not the secret",
    ),
    (
        "[[mqtt]]\nusername = \"u\"\npassword_file = \"/nowhere/p\"\n",
        "3:17",
        "/nowhere/p, which cannot be read",
        "readable",
    ),
    ("[[mqtt]]\npassword_env = \"MQTT_PASSWORD\"\n", "1:1", "without a username", "`username`"),
];

#[test]
fn each_fault_is_told_at_its_place_with_what_to_do() {
    for (text, place, message, hint) in BROKEN {
        let doors = if text.contains("[listen]") { "" } else { "[listen]\n" };
        let report = report(&format!("{text}{doors}"));
        assert!(report.starts_with("1 fault in the configuration"), "{text}\n{report}");
        assert!(report.contains(&format!("\ngateway.toml:{place}: ")), "{place} in {text}\n{report}");
        let (head, tail) = report.split_once("hint: ").expect("each fault has a hint");
        assert!(head.contains(message), "{message:?} in {report}");
        assert!(tail.contains(hint), "{hint:?} in {report}");
        assert!(!report.contains("hunter2") && !report.contains("swordfish"), "{report}");
    }
}

#[test]
fn a_configuration_without_doors_is_refused() {
    for text in ["[http]\nenabled = false\n", "[http]\ningest = false\n"] {
        let report = report(text);
        assert!(report.contains("gateway.toml: has no door") && report.contains("add [listen]"), "{report}");
    }
    assert!(load("[gateway]\n").is_ok(), "POST /v1/ingest is a door");
}

#[test]
fn alerts_without_detection_are_refused() {
    let report = report("[listen]\n[detect]\nenabled = false\n[[alert]]\nkind = \"mqtt\"\n");
    assert!(report.contains("detection is off") && report.contains("`detect.enabled`"), "{report}");
}

#[test]
fn one_serial_line_is_door_enough() {
    let config = accept("[[serial]]\npath = '/dev/ttyUSB0'\n");
    assert_eq!(config.serial, [crate::ingest::SerialConfig::new("/dev/ttyUSB0")]);
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
[gateway]
nmae = \"edge\"
data_dir = 5

[[mqtt]]
url = \"mqtt://broker\"
qos = 3
password = \"hunter2\"

[detect]
window = \"7m\"\t# a week has seven days
";
    let expected = "\
5 faults in the configuration

gateway.toml:2:1: unknown key `nmae` in [gateway]
    2 | nmae = \"edge\"
      | ^^^^
  hint: did you mean `name`?

gateway.toml:3:12: `data_dir` is an integer, not a path
    3 | data_dir = 5
      |            ^
  hint: write a path in quotes

gateway.toml:7:7: `qos` is 3, outside 0 to 2
    7 | qos = 3
      |       ^
  hint: choose from 0 to 2

gateway.toml:8:1: unknown key `password` in [[mqtt]]
    8 | password = ***
      | ^^^^^^^^
  hint: secrets do not belong into this file: name where it is with `password_file` or `password_env`

gateway.toml:11:10: `window` does not divide a day into equal windows
   11 | window = \"7m\" # a week has seven days
      |          ^^^^
  hint: choose a part of a day from 1s to 1d, such as \"1m\", \"10m\", \"15m\" or \"1h\"";
    assert_eq!(report(text), expected);
}

#[test]
fn no_form_of_a_secret_is_shown_in_a_fault() {
    for text in [
        "token = \"hunter2\n",
        "token: hunter2\n",
        "token hunter2\n",
        "TOKEN = hunter2\n",
        "\"password\" = hunter2\n",
        "[[influx]]\ntoken = '''\nhunter2\n''' x\n",
        "[[influx]]\ntoken = [\n \"hunter2\" \"\n]\n",
        "mqtt = [{ name = \"a\", password = \"hunter2\", qos = 9 }]\n",
        "mqtt.password = \"hunter2\"\n",
        "[[influx]]\ntoken_env = \"hunter2\"\n",
        "[[influx]]\ntoken_env = [\"hunter2\"]\n",
        "[[influx]]\ntoken_env = { value = \"hunter2\" }\n",
        "[[influx]]\ntoken_env = \"\"\"\nhunter2\"\"\"\n",
        "[[influx]]\nurl = \"http://me:hunter2@host\"\n",
        "[[influx]]\nurl = \"http://me:hunter2@host:x\"\n",
        "[[mqtt]]\nurl = \"mqtt://me:hunter2@host/x?y\"\n",
        "[[kafka]]\nbootstrap = \"me:hunter2@host\"\n",
    ] {
        let report = report(text);
        assert!(!report.contains("hunter2"), "{text}\n{report}");
    }
}

#[test]
fn secrets_are_read_but_seen_neither_in_debug_output_nor_in_the_listing() {
    let text = "
        [[mqtt]]
        username = \"u\"
        password_env = \"MQTT_PASSWORD\"
        [[influx]]
        org = \"o\"
        token_env = \"INFLUX_TOKEN\"
    ";
    let loaded = load(text).expect("valid");
    assert_eq!(loaded.config.mqtt[0].password.as_ref().map(|p| p.expose()), Some("swordfish"));
    let SinkConfig::Influx(influx) = &loaded.config.sinks[0] else { panic!("one influx sink") };
    assert_eq!(influx.token.at_start().expose(), "hunter2");
    let seen = format!("{loaded:?}\n{}", loaded.effective);
    assert!(!seen.contains("hunter2") && !seen.contains("swordfish"), "{seen}");
    let told =
        |line: &str| line.starts_with("token_env = \"INFLUX_TOKEN\" ") && line.ends_with("# gateway.toml:7, read: ***");
    assert!(seen.lines().any(told), "{seen}");
}

#[test]
fn a_secret_file_loses_its_last_newline_and_must_hold_one_line() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("token");
    let text = format!("[listen]\n[[influx]]\norg = \"o\"\ntoken_file = {path:?}\n");
    std::fs::write(&path, "hunter2\n").expect("writable");
    let SinkConfig::Influx(influx) = &accept(&text).sinks[0] else { panic!("one influx sink") };
    assert_eq!(influx.token.at_start().expose(), "hunter2");
    for (content, message) in [("\n", "an empty secret"), ("hunter2\nswordfish\n", "has control characters")] {
        std::fs::write(&path, content).expect("writable");
        let report = report(&text);
        assert!(report.contains(message) && !report.contains("hunter2"), "{report}");
    }
}

#[test]
fn flags_win_over_variables_these_over_the_file_and_that_over_the_default() {
    let text = "[gateway]\nname = \"file\"\ndata_dir = \"/file\"\n[http]\nbind = \"127.0.0.1:1\"\n[listen]\n";
    let variables = || {
        with_variables(&[
            ("GATEWAY_NAME", "variable"),
            ("GATEWAY_DATA_DIR", "/variable"),
            ("GATEWAY_HTTP_BIND", "127.0.0.1:2"),
        ])
    };
    let all = |text: &str, overrides: &Overrides| {
        let loaded = Loaded::parse("gateway.toml", text, overrides).expect("valid");
        let Config { gateway, http, .. } = loaded.config;
        let port = http.expect("enabled by default").bind.port();
        ((gateway.name, gateway.data_dir.display().to_string(), port), loaded.effective.to_string())
    };
    let (values, listing) = all("[listen]\n", &with_variables(&[]));
    assert_eq!(values, ("edge-7".into(), "/var/lib/gateway".into(), 8080));
    assert!(listing.starts_with("[gateway]\nname = \"edge-7\"                # default\n"), "{listing}");
    let (values, listing) = all(text, &with_variables(&[]));
    assert_eq!(values, ("file".into(), "/file".into(), 1));
    assert!(listing.contains("# gateway.toml:3"), "{listing}");
    let (values, listing) = all(text, &variables());
    assert_eq!(values, ("variable".into(), "/variable".into(), 2));
    assert!(listing.contains("# environment GATEWAY_DATA_DIR"), "{listing}");
    let flags = Overrides {
        name: Some("flag".into()),
        data_dir: Some("/flag".into()),
        http_bind: Some(([127, 0, 0, 1], 3).into()),
        ..variables()
    };
    let (values, listing) = all(text, &flags);
    assert_eq!(values, ("flag".into(), "/flag".into(), 3));
    assert!(listing.contains("# flag --http"), "{listing}");
}

#[test]
fn a_fault_in_a_variable_or_flag_names_it_instead_of_a_line() {
    let overrides = Overrides { data_dir: Some("".into()), ..with_variables(&[("GATEWAY_HTTP_BIND", "here")]) };
    let report = Loaded::parse("gateway.toml", "[listen]\n", &overrides).expect_err("two faults").to_string();
    assert!(report.starts_with("2 faults"), "{report}");
    assert!(report.contains("\n--data-dir: `gateway.data_dir` is empty"), "{report}");
    assert!(report.contains("\nGATEWAY_HTTP_BIND: `http.bind` is \"here\", not an ip address"), "{report}");
}

#[test]
fn a_missing_file_is_named_with_a_hint() {
    let report =
        Config::load(Path::new("/nowhere/gateway.toml"), &Overrides::default()).expect_err("missing").to_string();
    assert!(report.contains("/nowhere/gateway.toml: cannot be read: "), "{report}");
    assert!(report.contains("gateway.example.toml"), "{report}");
}

#[test]
fn every_option_reaches_its_place() {
    let config = accept(
        "
        [gateway]
        name = 'g'
        site = 's'
        data_dir = '/d'
        shutdown_grace = '1s'
        [http]
        enabled = false
        [[mqtt]]
        name = 'm'
        url = 'mqtts://[::1]:1884'
        tls_ca_file = 'mca'
        tls_cert_file = 'mc'
        tls_key_file = 'mk'
        tls_server_name = 'broker'
        tls_alpn = ['mqtt']
        version = '5'
        username = 'u'
        subscribe = ['a', 'b']
        qos = 0
        keep_alive = '1m'
        packet_max = '1MiB'
        session_expiry = '1h'
        reconnect_max = '2s'
        [listen]
        bind = '0.0.0.0:0'
        tls_cert_file = 'c'
        tls_key_file = 'k'
        tls_client_ca_file = 'ca'
        tls_client_auth = 'required'
        identity_from_certificate = true
        users_file = 'u'
        connections_max = 5
        packet_max = '2KB'
        connect_timeout = '3s'
        [[serial]]
        name = 'hall'
        path = '/dev/ttyS1'
        baud = 9600
        rtscts = true
        ack = true
        reopen_max = '1s'
        [[listen.allow]]
        users = ['plc-*']
        client_ids = ['{user}']
        publish = ['a/{user}/#', 'b/{client_id}']
        read = ['gateway/+']
        [[csv]]
        dir = '/in'
        pattern = 'day-*.csv'
        poll = '1m'
        settle = '10s'
        after = 'move'
        decimal = ','
        time_format = '%d.%m.%Y %H:%M'
        readings = ['a', 'b']
        rename = ['a=c']
        skip_lines = 4
        [[decode]]
        topic = 'a/#'
        format = 'json'
        device_field = 'dev'
        time_field = ''
        time_unit = 'ms'
        channel = 'c'
        measurement = 'me'
        each = 'r'
        fields = 'listed'
        ignore = ['x.y']
        tags = { floor = '2' }
        [[decode.channels]]
        path = 'a.b'
        unit = 'mV'
        to = 'V'
        min = -3
        words = { ON = 1, OFF = 0.5 }
        [detect]
        enabled = false
        [queue]
        engine = 'redb'
        max_size = '100MiB'
        when_full = 'drop_oldest'
        raw_ttl = '2m'
        derived_ttl = '30d'
        keep_delivered = '1m'
        commit_interval = '250ms'
        reserve = '0B'
        quarantine_max = '1MiB'
        [[kafka]]
        bootstrap = 'a:1, b:2'
        topic_prefix = 'p'
        [[file]]
        format = 'ndjson'
        rotate = '1MB'
        files_max = 3
        batch_records_max = 7
        batch_max = '2KiB'
        timeout = '200ms'
        retry_max = '4s'
        ",
    );
    assert_eq!(config.gateway.shutdown_grace, Duration::from_secs(1));
    assert_eq!((config.http, config.detect), (None, None));
    let minutes = |n: u64| Some(Duration::from_secs(60 * n));
    let expected = crate::queue::Config {
        engine: crate::queue::EngineKind::Redb,
        max_bytes: 100 << 20,
        when_full: crate::queue::WhenFull::DropOldest,
        ttl: [minutes(2), minutes(30 * 24 * 60)],
        keep_delivered: minutes(1),
        commit_interval: Duration::from_millis(250),
        ballast_bytes: 0,
        quarantine_max_bytes: 1 << 20,
        ..crate::queue::Config::new("/d/queue")
    };
    assert_eq!(config.queue, expected);
    let m = &config.mqtt[0];
    assert_eq!((m.host.as_str(), m.port, m.version, m.qos), ("::1", 1884, MqttVersion::V5, 0));
    assert_eq!((m.client_id.as_str(), m.username.as_deref()), ("g-m", Some("u")));
    assert_eq!((m.packet_max_bytes, m.session_expiry), (1 << 20, Duration::from_secs(3_600)));
    let listen = config.listen.expect("present");
    assert_eq!((listen.bind.port(), listen.connections_max, listen.packet_max_bytes), (0, 5, 2_000));
    let serial = crate::ingest::SerialConfig {
        name: "hall".into(),
        path: "/dev/ttyS1".into(),
        baud: 9_600,
        rtscts: true,
        ack: true,
        reopen_max: Duration::from_secs(1),
    };
    assert_eq!(config.serial, [serial]);
    let client_auth = ClientAuth::Required { ca_file: "ca".into() };
    assert_eq!(listen.tls, Some(ServerConfig { cert_file: "c".into(), key_file: "k".into(), client_auth }));
    let filters = |texts: &[&str]| texts.iter().map(|text| Filter::new(text)).collect::<Vec<_>>();
    let rule = Rule {
        users: vec!["plc-*".into()],
        client_ids: vec!["{user}".into()],
        publish: filters(&["a/{user}/#", "b/{client_id}"]),
        read: filters(&["gateway/+"]),
    };
    let expected = access::Config {
        users_file: Some("u".into()),
        admits_anonymous: false,
        identity_from_certificate: true,
        rules: vec![rule],
    };
    assert_eq!(listen.access, expected);
    let certificate = Some(KeyPair { cert_file: "mc".into(), key_file: "mk".into() });
    let tls = ClientConfig {
        ca_file: Some("mca".into()),
        certificate,
        server_name: Some("broker".into()),
        alpn: vec!["mqtt".into()],
    };
    assert_eq!(m.tls, Some(Client::new(tls)));
    let folder = &config.csv[0];
    assert_eq!((folder.dir.as_path(), folder.pattern.to_string().as_str()), (Path::new("/in"), "day-*.csv"));
    assert_eq!((folder.poll, folder.settle), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!(folder.after, crate::ingest::csv::After::Move);
    let mapping = &folder.mapping;
    assert_eq!((mapping.decimal.to_string(), mapping.time_format.to_string()), (",".into(), "%d.%m.%Y %H:%M".into()));
    assert_eq!((&mapping.readings[..], mapping.skip_lines), (&["a".to_owned(), "b".to_owned()][..], 4));
    assert_eq!(mapping.rename, [("a".to_owned(), "c".to_owned())]);
    assert_eq!(config.upload, None);
    let route = &config.decode[0];
    assert_eq!((route.device_field.as_deref(), route.time_field.as_deref()), (Some("dev"), None));
    assert_eq!((route.each.as_str(), &route.ignore[..]), ("r", &["x.y".to_owned()][..]));
    assert_eq!(route.tags, [("floor".to_owned(), "2".to_owned())].into());
    let channel = &route.channels[0];
    assert_eq!((channel.path.as_str(), channel.unit.as_str(), channel.min), ("a.b", "mV", Some(-3.0)));
    assert_eq!(channel.words, [("ON".to_owned(), 1.0), ("OFF".to_owned(), 0.5)].into());
    let [SinkConfig::Kafka(kafka), SinkConfig::File(file)] = &config.sinks[..] else { panic!("two sinks") };
    assert_eq!((kafka.name.as_str(), kafka.topics.raw.as_str()), ("kafka", "p.raw"));
    assert_eq!((file.dir.as_path(), file.rotate_bytes, file.files_max), (Path::new("/d/files"), 1_000_000, 3));
    assert_eq!((file.delivery.batch_max_bytes, file.delivery.timeout), (2_048, Duration::from_millis(200)));
}

#[test]
fn a_kafka_table_tells_topics_packing_and_who_asks() {
    let text = "[listen]\n[[kafka]]\ntopic_names = { raw = \"plant-7\" }\ncompression = \"zstd\"\ntls = true\n\
                tls_ca_file = \"ca\"\nsasl = \"scram-sha-512\"\nusername = \"u\"\npassword_env = \"MQTT_PASSWORD\"\n";
    let config = accept(text);
    let [SinkConfig::Kafka(kafka)] = &config.sinks[..] else { panic!("one sink") };
    assert_eq!((kafka.topics.raw.as_str(), kafka.topics.gaps.as_str()), ("plant-7", "sensors.gaps"));
    assert_eq!(kafka.compression, Compression::Zstd);
    assert_eq!(kafka.security.tls, Some(TlsFiles { ca_file: Some("ca".into()), certificate: None }));
    let login = kafka.security.login.as_ref().expect("a login");
    assert_eq!((login.mechanism, login.username.as_str()), (SaslMechanism::ScramSha512, "u"));
    assert_eq!(login.password.at_start().expose(), "swordfish");
}

#[test]
fn a_sink_whose_messages_come_in_again_is_warned_of() {
    let sink = "[[mqtt_sink]]\nurl = \"mqtt://127.0.0.1:1883\"\n";
    let broker =
        |filter: &str| format!("{sink}[[mqtt]]\nurl = \"mqtt://127.0.0.1:1883\"\nsubscribe = [\"{filter}\"]\n");
    let warned = |text: &str| accept(text).warnings().join("\n");
    assert_eq!(warned(&broker("sensors/#")), "");
    assert_eq!(warned(&broker("gateway/other/#")), "");
    for filter in ["#", "gateway/edge-7/windows/#"] {
        let warning = warned(&broker(filter));
        assert!(
            warning.contains("under \"gateway/edge-7\" may come in again") && warning.contains(filter),
            "{warning}"
        );
    }
    let elsewhere = broker("#").replacen("1883", "1884", 1);
    assert_eq!(warned(&elsewhere), "");
    assert!(warned(&format!("{sink}[listen]\n")).contains("own door [listen]"));
}

#[test]
fn what_crosses_a_network_in_the_clear_is_warned_of() {
    let warned = |text: &str| accept(text).warnings().join("\n");
    let token = "[[http.token]]\nname = \"a\"\ntoken_env = \"PLC_TOKEN\"\n";
    for (text, part) in [
        ("[listen]\nbind = \"0.0.0.0:1\"\nusers_file = \"u\"\n".to_owned(), "passwords of sensors"),
        ("[listen]\nbind = \"0.0.0.0:1\"\nallow_anonymous = true\n".to_owned(), "whoever reaches 0.0.0.0:1"),
        (
            "[[mqtt]]\nurl = \"mqtt://b\"\nusername = \"u\"\npassword_env = \"MQTT_PASSWORD\"\n".to_owned(),
            "broker mqtt",
        ),
        (format!("[listen]\n[http]\nbind = \"[::]:1\"\n{token}"), "tokens cross"),
        ("[listen]\n[http]\nbind = \"[::]:1\"\nallow_anonymous = true\n".to_owned(), "whoever reaches [::]:1"),
    ] {
        assert!(warned(&text).contains(part), "{text}");
    }
    let kafka = |bootstrap: &str, sasl: &str| {
        format!(
            "[listen]\n[[kafka]]\nbootstrap = \"{bootstrap}\"\nsasl = \"{sasl}\"\nusername = \"u\"\npassword_env = \"MQTT_PASSWORD\"\n"
        )
    };
    assert!(warned(&kafka("broker:9092", "plain")).contains("sink kafka crosses the network in the clear"));
    assert_eq!(warned(&kafka("127.0.0.1:9092,localhost:9093", "plain")), "");
    assert_eq!(warned(&kafka("broker:9092", "scram-sha-256")), "");
    for text in [
        "[listen]\nusers_file = \"u\"\n",
        "[listen]\nbind = \"0.0.0.0:1\"\nusers_file = \"u\"\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\n",
        "[[mqtt]]\nurl = \"mqtts://b\"\nusername = \"u\"\npassword_env = \"MQTT_PASSWORD\"\n",
        "[[mqtt]]\nurl = \"mqtt://localhost\"\nusername = \"u\"\npassword_env = \"MQTT_PASSWORD\"\n",
    ] {
        assert_eq!(warned(text), "", "{text}");
    }
}

#[test]
fn tables_below_a_table_are_listed_behind_it() {
    let text = "[listen]\n[[listen.allow]]\npublish = [\"a\"]\n[[listen.allow]]\nread = [\"b\"]\n";
    let loaded = load(text).expect("valid");
    let headers: Vec<_> = loaded.effective.sections.iter().map(|section| section.header.as_str()).collect();
    assert!(
        headers.windows(3).any(|three| three == ["[listen]", "[[listen.allow]]", "[[listen.allow]]"]),
        "{headers:?}"
    );
    assert_eq!(accept(&loaded.effective.to_string()), loaded.config);
}

#[test]
fn the_listing_is_a_configuration_that_gives_the_same() {
    let text = "[gateway]\nsite = \"hall \\\"3\\\"\"\n[listen]\n[[mqtt]]\nsubscribe = [\"a\", \"b/#\"]\n[[kafka]]\n[detect]\nwindow = \"900s\"\n";
    let loaded = load(text).expect("valid");
    assert_eq!(accept(&loaded.effective.to_string()), loaded.config);
}

#[test]
fn the_example_as_it_stands_is_a_configuration() {
    let config = accept(EXAMPLE);
    assert!(config.listen.is_some() && config.sinks.len() == 1 && config.mqtt.is_empty());
}

/// The example with every option commented in; of the two ways to name a secret the one that ends with `way`.
fn example_with(way: &str) -> String {
    let other = if way == "_env" { "_file" } else { "_env" };
    let option = |line: &&str| !line.split(" = ").next().unwrap_or_default().ends_with(other);
    let commented_in =
        |line: &'static str| line.strip_prefix('#').filter(|l| !l.is_empty() && !l.starts_with(' ')).unwrap_or(line);
    EXAMPLE.lines().map(commented_in).filter(option).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_option_of_the_example_is_shown_with_its_default() {
    // What has no default, and the tables that stand in the example.
    let bare = "
        [[http.token]]
        name = \"plc\"
        token_env = \"PLC_TOKEN\"
        [listen]
        [[listen.allow]]
        publish = [\"sensors/{user}/#\"]
        [[mqtt]]
        password_env = \"MQTT_PASSWORD\"
        username = \"u\"
        [[serial]]
        path = \"/dev/ttyUSB0\"
        [[csv]]
        dir = \"/srv/csv\"
        [upload]
        [[decode]]
        [[decode.channels]]
        path = \"temp\"
        min = -40.0
        max = 125.0
        [[influx]]
        org = \"plant\"
        token_env = \"INFLUX_TOKEN\"
        [[kafka]]
        sasl = \"plain\"
        username = \"u\"
        password_env = \"KAFKA_PASSWORD\"
        [[file]]
        [[webhook]]
        url = \"http://127.0.0.1:9000/sensors\"
        token_env = \"WEBHOOK_TOKEN\"
        [[mqtt_sink]]
        username = \"u\"
        password_env = \"MQTT_PASSWORD\"
        [[alert]]
        kind = \"slack\"
        url_env = \"SLACK_URL\"
        [[alert]]
        kind = \"webhook\"
        url_env = \"WEBHOOK_URL\"
        token_env = \"WEBHOOK_TOKEN\"
        [[alert]]
        kind = \"smtp\"
        username = \"u\"
        password_env = \"MAIL_PASSWORD\"
        from = \"gateway@example.com\"
        to = [\"ops@example.com\"]
        [[alert]]
        kind = \"mqtt\"
        username = \"u\"
        password_env = \"MQTT_PASSWORD\"
    ";
    let example = example_with("_env")
        .replace("username = \"\"", "username = \"u\"")
        .replace("sasl = \"none\"", "sasl = \"plain\"");
    assert_eq!(accept(&example), accept(bare));
}

#[test]
fn the_example_and_the_reader_know_the_same_options() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2").expect("writable");
    let secret = secret.display().to_string();
    let url = dir.path().join("url");
    std::fs::write(&url, "https://hooks.example.com/hunter2").expect("writable");
    let url = url.display().to_string();
    let keys = dir.path().join("frames.keys");
    std::fs::write(&keys, "pump-* 1 000102030405060708090a0b0c0d0e0f").expect("writable");
    let by_file = example_with("_file")
        .replace("/etc/gateway/mqtt-password", &secret)
        .replace("/etc/gateway/plc-token", &secret)
        .replace("/etc/gateway/influx-token", &secret)
        .replace("/etc/gateway/kafka-password", &secret)
        .replace("/etc/gateway/webhook-token", &secret)
        .replace("/etc/gateway/mail-password", &secret)
        .replace("/etc/gateway/slack-url", &url)
        .replace("/etc/gateway/webhook-url", &url)
        .replace("/etc/gateway/frames.keys", &keys.display().to_string());
    let mut read = std::collections::BTreeSet::new();
    let mut written = read.clone();
    for text in [example_with("_env"), by_file] {
        let text = text.replace("username = \"\"", "username = \"u\"").replace("sasl = \"none\"", "sasl = \"plain\"");
        for section in load(&text).expect("valid").effective.sections {
            read.extend(section.entries.iter().map(|entry| (section.header.clone(), entry.key.to_owned())));
        }
        let mut header = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(" = ") {
                Some((key, _)) => drop(written.insert((header.clone(), key.to_owned()))),
                None if line.starts_with('[') => line.clone_into(&mut header),
                None => {}
            }
        }
    }
    assert_eq!(read, written);
    assert!(written.len() > 50, "{} options", written.len());
}

#[test]
fn frames_keys_are_read_from_their_file_and_each_fault_of_it_is_told_without_a_key() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("frames.keys");
    let text = format!("[[serial]]\npath = '/dev/ttyUSB0'\n[frames]\nkeys_file = '{}'\n", path.display());
    let told = |content: &str| {
        std::fs::write(&path, content).expect("writable");
        load(&text).map(|loaded| loaded.config.frames.keys.len()).map_err(|faults| faults.to_string())
    };
    assert_eq!(told("pump-* 1 000102030405060708090a0b0c0d0e0f\n"), Ok(1));
    for (content, expected) in [
        ("# none\n", "holds no key"),
        ("pump 1 5e5e5e5e", "line 1: the key has 4 bytes, not 16 to 64"),
        ("pump 1 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5ez", "line 1: the key is not written in hexadecimal digits"),
    ] {
        let faults = told(content).unwrap_err();
        assert!(faults.contains(expected) && !faults.contains("5e5e"), "{faults}");
    }
    std::fs::remove_file(&path).expect("it is there");
    assert!(load(&text).unwrap_err().to_string().contains("cannot be read"));
}
