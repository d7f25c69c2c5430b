#!/usr/bin/env bash
# Makes FOLDER/job-server.jar, which FlinkRunner takes as --flink_job_server_jar: a manifest that names Beam's Flink job
# server, fetched with Maven, and what Flink needs opened on Java 17. Usage: job_server.sh FOLDER
set -euo pipefail
pom=$(realpath "$(dirname "$0")/pom.xml")
for tool in java jar mvn; do
  command -v $tool >/dev/null || { echo "facetfx: Flink needs a JDK 17 and Maven; there is no '$tool' here." >&2; exit 1; }
done
mkdir -p "$1"
cd "$1"
[ -e job-server.jar ] && exit
mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies -DoutputDirectory="$PWD/lib" >&2
opened=""
for package in lang lang.invoke lang.reflect util util.concurrent net io nio text time; do
  opened="$opened java.base/java.$package"
done
manifest=$(mktemp)
{
  echo "Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver"
  # A line of a manifest has 72 bytes at most; what goes on begins with a blank.
  echo "Add-Opens:$opened java.base/sun.nio.ch" | fold -b -w 70 | sed '2,$s/^/ /'
  echo "Class-Path: $(printf 'lib/%s ' $(ls lib))" | fold -b -w 70 | sed '2,$s/^/ /'
} > "$manifest"
jar --create --file job-server.jar --manifest "$manifest"
rm "$manifest"
