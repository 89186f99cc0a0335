#!/usr/bin/env bash
# kafka-configs takes SCRAM credentials in brackets on the command line and refuses the same line from a file, aloud.
#
# Version:   Kafka 4.3.1 (Maven org.apache.kafka:kafka_2.13:4.3.1), the class behind bin/kafka-configs.sh
# Guess:     --add-config-file FILE takes what --add-config takes, so that a password stays out of `ps`: one line
#            SCRAM-SHA-512=[iterations=8192,password=...], as Kafka's documentation has it for the command line.
# Behaviour: The brackets are taken off for --add-config only. From a file they are "Invalid credential property", and the
#            message repeats the password. Without brackets the file is taken. No broker is asked before that.
# Seen:      --add-config [iterations=..,password=..]       taken: it goes on to the broker
#            --add-config-file with the same line           refused, and the password is printed
#            --add-config-file without brackets             taken: it goes on to the broker
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version>
  </dependency></dependencies>
</project>
XML
mvn -q -B -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$work/jars" >"$work/maven.log" 2>&1 || { cat "$work/maven.log"; exit 1; }

printf 'SCRAM-SHA-512=[iterations=8192,password=S3cret]\n' > "$work/brackets.properties"
printf 'SCRAM-SHA-512=iterations=8192,password=S3cret\n' > "$work/bare.properties"
ask() {  # what the tool says within some seconds; nobody listens on port 1
  timeout 25 java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$work/jars/*" kafka.admin.ConfigCommand \
    --bootstrap-server 127.0.0.1:1 --alter --entity-type users --entity-name somebody "$@" 2>&1 | grep Invalid || true
}
line=$(ask --add-config 'SCRAM-SHA-512=[iterations=8192,password=S3cret]' & ask --add-config-file "$work/bare.properties" & wait)
file=$(ask --add-config-file "$work/brackets.properties")
echo "on the command line with brackets, in a file without: ${line:-taken}"
echo "in a file with brackets: ${file:-taken}"
if [[ -z $line && $file == *"Invalid credential property"*"password=S3cret"* ]]; then echo "as stated"; else echo "CHANGED"; exit 1; fi
