# shellcheck shell=bash
# What the start-*.sh scripts share: cache, pid files, readiness. Sourced only.
#
# PARTS_CACHE  downloads, kept between runs    (default: .parts-cache of the repository)
# PARTS_RUN    data, logs and pid files        (default: .parts-run of the repository)

# shellcheck disable=SC2154 # here, the folder of the scripts, is set by each of them
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
PARTS_CACHE="${PARTS_CACHE:-$root/.parts-cache}"
PARTS_RUN="${PARTS_RUN:-$root/.parts-run}"
mkdir -p "$PARTS_CACHE" "$PARTS_RUN"
PARTS_CACHE="$(cd "$PARTS_CACHE" && pwd)"
PARTS_RUN="$(cd "$PARTS_RUN" && pwd)"

say() { printf '[real] %s\n' "$*"; }
die() { printf '[real] ERROR: %s\n' "$*" >&2; exit 1; }
need() { local c; for c in "$@"; do command -v "$c" >/dev/null || die "missing command: $c"; done; }

# Start time of a process in ticks (field 22 of /proc/PID/stat). With the pid it
# names one process for good, so a recycled pid is never signalled.
start_ticks() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '{print $20}'; }

# live_pid NAME: prints the pid recorded for NAME if that process still lives.
live_pid() {
  local file="$PARTS_RUN/$1.pid" pid ticks
  [[ -s $file ]] || return 1
  read -r pid ticks <"$file"
  [[ -n ${ticks:-} && $(start_ticks "$pid") == "$ticks" ]] || return 1
  printf '%s\n' "$pid"
}

# port_free PORT...: dies when something already listens there.
port_free() {
  local port
  for port in "$@"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is in use"; fi
  done
}

# spawn NAME CMD...: runs CMD detached, logs to NAME.log, records "pid ticks".
spawn() {
  local name=$1 pid
  shift
  (ulimit -c 0; exec setsid "$@") </dev/null >"$PARTS_RUN/$name.log" 2>&1 &
  pid=$!
  printf '%s %s\n' "$pid" "$(start_ticks "$pid")" >"$PARTS_RUN/$name.pid"
}

# wait_ready NAME SECONDS CMD...: polls CMD; stops NAME and dies when it takes too long.
wait_ready() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! live_pid "$name" >/dev/null; then
      tail -n 30 "$PARTS_RUN/$name.log" >&2
      die "$name ended before it was ready"
    fi
    if ((SECONDS > deadline)); then
      tail -n 30 "$PARTS_RUN/$name.log" >&2
      stop_part "$name"
      die "$name was not ready in time"
    fi
    sleep 0.2
  done
  say "$name is ready, pid $(live_pid "$name"), log $PARTS_RUN/$name.log"
}

# stop_part NAME [SIGNAL]: TERM or SIGNAL, then KILL after 20 s, only the recorded process.
stop_part() {
  local name=$1 signal=${2:-TERM} pid deadline=$((SECONDS + 20))
  if ! pid=$(live_pid "$name"); then
    say "$name is not running"
    rm -f "$PARTS_RUN/$name.pid"
    return
  fi
  kill "-$signal" "$pid" 2>/dev/null || true
  while live_pid "$name" >/dev/null; do
    if ((SECONDS > deadline)); then kill -KILL "$pid" 2>/dev/null || true; break; fi
    sleep 0.2
  done
  say "$name stopped (pid $pid)"
  rm -f "$PARTS_RUN/$name.pid"
}

# maven_libs DIR GROUP:ARTIFACT:VERSION...: their runtime jars into DIR/lib, once.
maven_libs() {
  local dir=$1 group artifact version one
  shift
  [[ -f $dir/.ok ]] && return 0
  need mvn flock
  mkdir -p "$dir"
  (
    flock 9 # several servers may want the same jars at once
    [[ -f $dir/.ok ]] && exit 0
    rm -rf "${dir:?}/lib"
    {
      printf '<project><modelVersion>4.0.0</modelVersion>\n'
      printf '<groupId>real</groupId><artifactId>libs</artifactId><version>1</version><packaging>pom</packaging>\n'
      printf '<dependencies>\n'
      for one in "$@"; do
        IFS=: read -r group artifact version <<<"$one"
        printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
          "$group" "$artifact" "$version"
      done
      printf '</dependencies></project>\n'
    } >"$dir/pom.xml"
    say "fetching $* into $dir"
    if ! (cd "$dir" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
      -DoutputDirectory=lib -DincludeScope=runtime >mvn.log 2>&1); then
      tail -n 20 "$dir/mvn.log" >&2
      exit 1
    fi
    touch "$dir/.ok"
  ) 9>"$dir/.lock" || die "maven could not resolve $*"
}

# maven_file DIR GROUP:ARTIFACT:VERSION:TYPE: one file into DIR.
maven_file() {
  need mvn
  mkdir -p "$1"
  say "fetching $2 into $1"
  if ! mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    "-Dartifact=$2" "-DoutputDirectory=$1" >"$1/mvn.log" 2>&1; then
    tail -n 20 "$1/mvn.log" >&2
    die "maven could not resolve $2"
  fi
}

# compile DIR LIBS NAME: NAME.java of this folder into DIR/classes, when it is newer.
compile() {
  need javac flock
  mkdir -p "$1/classes"
  (
    flock 9
    [[ $1/classes/$3.class -nt $here/$3.java ]] || javac -d "$1/classes" -cp "$2/*" "$here/$3.java"
  ) 9>"$1/.compile-lock" || die "$3.java was not compiled"
}

# deb_unpack DIR PACKAGE...: Debian packages below DIR/root, once; nothing is installed, so their
# libraries must be there or be named too.
deb_unpack() {
  local dir=$1 package
  shift
  [[ -f $dir/.ok ]] && return 0
  need apt-get dpkg-deb
  rm -rf "$dir"
  mkdir -p "$dir/debs/partial"
  say "fetching $* into $dir"
  if ! (cd "$dir/debs" && apt-get download "$@" >"$dir/apt.log" 2>&1); then
    # No package list yet, or an old one.
    apt-get update >"$dir/apt-update.log" 2>&1 || true
    (cd "$dir/debs" && apt-get download "$@" >"$dir/apt.log" 2>&1) ||
      die "apt-get download failed: $(tail -n 1 "$dir/apt.log")"
  fi
  for package in "$dir"/debs/*.deb; do dpkg-deb -x "$package" "$dir/root"; done
  touch "$dir/.ok"
}

# listens PORT: true when something does, on 127.0.0.1.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# certificate DIR: DIR/cert.pem and DIR/key.pem, of localhost, its own authority.
certificate() {
  need openssl
  mkdir -p "$1"
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -addext 'basicConstraints=critical,CA:FALSE' \
    -keyout "$1/key.pem" -out "$1/cert.pem" 2>/dev/null || die "openssl made no certificate"
}
