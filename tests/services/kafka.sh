#!/usr/bin/env bash
# Apache Kafka as one KRaft node (broker and controller) from Maven Central's jars. Prints KAFKA_PORT, KAFKA_BOOTSTRAP.
# With KAFKA_PEM (key and certificate) and KAFKA_CA also a listener with TLS that asks for certificates and a login: the user
# gw with the password KAFKA_PASSWORD, by PLAIN and SCRAM; then KAFKA_SECURE_BOOTSTRAP is printed, too. With KAFKA_LINK, the
# address of a proxy, also a listener for those who come through it, on KAFKA_BEHIND_LINK.
# Needs Java 17 and Maven. The port answers before the broker takes clients: wait until metadata lists a broker.
. "$(dirname "$0")/lib.sh"
KAFKA_VERSION=4.3.0
LOG4J_VERSION=2.25.4
service_init kafka $KAFKA_VERSION

fetch() {
  [ -f "$DIST/.done" ] && return
  # kafka_2.13 brings slf4j-api 1.7 and log4j-core, but nothing between the two: log4j-slf4j-impl (for slf4j 1.x).
  cat >"$DIST/pom.xml" <<X
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J_VERSION</version></dependency>
  </dependencies>
</project>
X
  mvn -q -B -f "$DIST/pom.xml" "-Dmaven.repo.local=$GATEWAY_TEST_CACHE/m2" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$DIST/libs" >&2
  touch "$DIST/.done"
}

# Serial collector and first compiler only: quick to start, few threads on a small machine.
JVM=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m -Xmx512m -Djava.awt.headless=true
  "-Dlog4j2.configurationFile=$RUNDIR/log4j2.properties" -cp "$DIST/libs/*")

configure() {
  local port controller secure behind listeners advertised users=()
  port=$(free_port) controller=$(free_port)
  listeners=PLAINTEXT://$HOST:$port
  cat >"$RUNDIR/log4j2.properties" <<X
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c %m%n
X
  printf 'KAFKA_PORT=%s\nKAFKA_BOOTSTRAP=%s:%s\n' "$port" $HOST "$port" >"$PORTS"
  : >"$RUNDIR/server.properties"
  if [ -n "${KAFKA_PEM:-}" ]; then
    secure=$(free_port)
    listeners=$listeners,SASL_SSL://$HOST:$secure
    printf 'KAFKA_SECURE_BOOTSTRAP=%s:%s\n' $HOST "$secure" >>"$PORTS"
    users=(--add-scram "SCRAM-SHA-256=[name=gw,password=$KAFKA_PASSWORD]"
      --add-scram "SCRAM-SHA-512=[name=gw,password=$KAFKA_PASSWORD]")
    cat >"$RUNDIR/server.properties" <<X
ssl.keystore.type=PEM
ssl.keystore.location=$KAFKA_PEM
ssl.truststore.type=PEM
ssl.truststore.location=$KAFKA_CA
listener.name.sasl_ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_gw="$KAFKA_PASSWORD";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
X
  fi
  advertised=$listeners
  if [ -n "${KAFKA_LINK:-}" ]; then
    behind=$(free_port)
    listeners=$listeners,LINK://$HOST:$behind advertised=$advertised,LINK://$KAFKA_LINK
    printf 'KAFKA_BEHIND_LINK=%s:%s\n' $HOST "$behind" >>"$PORTS"
  fi
  # One node: every internal topic needs replication 1, or groups and idempotent producers hang. No rebalance delay and
  # few internal partitions make the first join quick.
  cat >>"$RUNDIR/server.properties" <<X
process.roles=broker,controller
node.id=1
listeners=$listeners,CONTROLLER://$HOST:$controller
advertised.listeners=$advertised
controller.listener.names=CONTROLLER
controller.quorum.voters=1@$HOST:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,LINK:PLAINTEXT
log.dirs=$RUNDIR/data
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
X
  # The cluster id is any 16 bytes in base64; a node alone needs no other than this.
  java "${JVM[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$RUNDIR/server.properties" "${users[@]}" >>"$LOG" 2>&1 \
    || { tail "$LOG" >&2; die "cannot format $RUNDIR/data"; }
}

launch() {
  spawn java "${JVM[@]}" kafka.Kafka "$RUNDIR/server.properties"
  wait_ready 60 tcp_up "$KAFKA_PORT"
}

service_main "$@"
