#!/usr/bin/env bash
# HiveMQ CE (MQTT 3.1.1 and 5), embedded in a launcher of ours, from Maven Central's jars: a second broker, so that the
# mqtt door does not rest on one broker's ways. It lets everyone in. Prints HIVEMQ_PORT. Needs Java 17 and Maven.
. "$(dirname "$0")/lib.sh"
HIVEMQ_VERSION=2025.5
service_init hivemq $HIVEMQ_VERSION

fetch() {
  [ -f "$DIST/.done" ] && return
  cat >"$DIST/pom.xml" <<X
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>hivemq-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>com.hivemq</groupId>
      <artifactId>hivemq-community-edition-embedded</artifactId>
      <version>$HIVEMQ_VERSION</version>
    </dependency>
  </dependencies>
</project>
X
  mvn -q -B -f "$DIST/pom.xml" "-Dmaven.repo.local=$GATEWAY_TEST_CACHE/m2" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$DIST/libs" >&2
  # Embedded, HiveMQ lets nobody in without an extension that says so.
  cat >"$DIST/Launcher.java" <<'X'
import com.hivemq.embedded.*;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.parameter.*;
import com.hivemq.extension.sdk.api.services.Services;
import java.nio.file.Path;

public class Launcher {
    static class Open implements ExtensionMain {
        public void extensionStart(ExtensionStartInput input, ExtensionStartOutput output) {
            SimpleAuthenticator everyone = (in, out) -> out.authenticateSuccessfully();
            Services.securityRegistry().setAuthenticatorProvider(provider -> everyone);
        }
        public void extensionStop(ExtensionStopInput input, ExtensionStopOutput output) {}
    }
    public static void main(String[] args) throws Exception {
        Path run = Path.of(args[0]);
        EmbeddedExtension open = EmbeddedExtension.builder().withId("open").withName("open").withVersion("1")
            .withAuthor("tests").withPriority(0).withStartPriority(1000).withExtensionMain(new Open()).build();
        EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder().withConfigurationFolder(run.resolve("conf"))
            .withDataFolder(run.resolve("data")).withExtensionsFolder(run.resolve("extensions"))
            .withEmbeddedExtension(open).build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> broker.stop().join()));
        broker.start().join();
        System.out.println("READY");
        Thread.currentThread().join();
    }
}
X
  javac -cp "$DIST/libs/*" -d "$DIST/classes" "$DIST/Launcher.java" >&2
  touch "$DIST/.done"
}

configure() {
  mkdir -p "$RUNDIR/conf" "$RUNDIR/extensions"
  local port
  port=$(free_port)
  # Usage statistics would go to the maker. In files: sessions are to survive a restart of the broker.
  cat >"$RUNDIR/conf/config.xml" <<X
<hivemq>
  <listeners><tcp-listener><port>$port</port><bind-address>$HOST</bind-address></tcp-listener></listeners>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
  <persistence><mode>file</mode></persistence>
</hivemq>
X
  echo "HIVEMQ_PORT=$port" >"$PORTS"
}

launch() {
  : >"$LOG"
  # Its storage reaches into the JDK's own classes.
  spawn java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx384m -Djava.awt.headless=true \
    --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED \
    --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED \
    --add-exports=java.base/jdk.internal.misc=ALL-UNNAMED \
    "-Dhivemq.log.folder=$RUNDIR" -cp "$DIST/classes:$DIST/libs/*" Launcher "$RUNDIR"
  wait_ready 90 grep -q '^READY' "$LOG"
}

service_main "$@"
