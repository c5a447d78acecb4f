#!/usr/bin/env bash
# A real InspIRCd with Atheme's services on 127.0.0.1, from Debian's packages, unpacked and not
# installed: SASL, and what IRCv3 has. It can be run again. Account bot, password secret.
# $PARTS_RUN/inspircd holds cert.pem, and bot-cert.pem with bot-key.pem, which the account knows too.
# Parts: inspircd, atheme.
#
# INSPIRCD_PORT         plain port (default 9668)
# INSPIRCD_TLS_PORT     TLS port (default 9698)
# INSPIRCD_STRICT_PORT  plain port where more than 40 lines at once, and then more than 20 a second,
#                       are an Excess Flood (default 9669)
# INSPIRCD_LINK_PORT    port of the services (default 9768)
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

port="${INSPIRCD_PORT:-9668}"
tls="${INSPIRCD_TLS_PORT:-9698}"
strict="${INSPIRCD_STRICT_PORT:-9669}"
link="${INSPIRCD_LINK_PORT:-9768}"
host=irc.example.test
services=services.example.test

if live_pid inspircd >/dev/null && live_pid atheme >/dev/null; then
  say "inspircd and atheme already run"
  exit 0
fi
stop_part atheme
stop_part inspircd
deb_unpack "$PARTS_CACHE/inspircd" inspircd atheme-services
unpacked="$PARTS_CACHE/inspircd/root"
port_free "$port" "$tls" "$strict" "$link"
dir="$PARTS_RUN/inspircd"
own="$PARTS_RUN/atheme"
rm -rf "$dir" "$own"
mkdir -p "$own"
certificate "$dir/bot"
mv "$dir/bot/cert.pem" "$dir/bot-cert.pem"
mv "$dir/bot/key.pem" "$dir/bot-key.pem"
certificate "$dir"
print="$(openssl x509 -in "$dir/bot-cert.pem" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr 'A-F' 'a-f')"

inspircd_conf() {
  cat <<CONF
<config format="xml">
<path configdir="$dir" datadir="$dir" logdir="$dir" runtimedir="$dir" moduledir="$unpacked/usr/lib/inspircd/modules">
<server name="$host" description="test server" network="TestNet" id="001">
<admin name="tester" nick="tester" email="tester@example.test">
<bind address="127.0.0.1" port="$port" type="clients">
<bind address="127.0.0.1" port="$strict" type="clients">
<bind address="127.0.0.1" port="$tls" type="clients" sslprofile="tls">
<bind address="127.0.0.1" port="$link" type="servers">
<sslprofile name="tls" provider="gnutls" certfile="$dir/cert.pem" keyfile="$dir/key.pem" cafile="" requestclientcert="yes" hash="sha256">
<connect allow="*" name="strict" port="$strict" timeout="20" pingfreq="120" resolvehostnames="no" useident="no"
  localmax="500" globalmax="500" recvq="65536" commandrate="20000" threshold="40" fakelag="off" limit="5000">
<connect allow="*" name="main" timeout="20" pingfreq="120" resolvehostnames="no" useident="no" localmax="500" globalmax="500"
  recvq="65536" commandrate="100000" threshold="1000" fakelag="off" limit="5000">
<options prefixquit="Quit: " syntaxhints="yes" moronbanner="" defaultmodes="not">
<performance nouserdns="yes" clonesonconnect="no">
<whowas groupsize="0">
<link name="$services" ipaddr="127.0.0.1" port="$link" allowmask="127.0.0.0/8" sendpass="link" recvpass="link">
<uline server="$services" silent="yes">
<sasl target="$services">
CONF
  local module
  for module in cap sasl services_account spanningtree ssl_gnutls sslinfo chghost hidechans servprotect \
    ircv3 ircv3_accounttag ircv3_batch ircv3_capnotify ircv3_ctctags ircv3_echomessage \
    ircv3_labeledresponse ircv3_msgid ircv3_servertime; do
    printf '<module name="%s">\n' "$module"
  done
}

atheme_conf() {
  # Whole paths, what others need first: the services' own folder is fixed in their build.
  local module
  for module in transport/rfc1459 protocol/base36uid protocol/inspircd crypto/pbkdf2v2 \
    backend/corestorage backend/opensex nickserv/main nickserv/register nickserv/identify \
    nickserv/cert nickserv/logout saslserv/main saslserv/plain saslserv/external; do
    if [[ -f $libraries/atheme/modules/$module.so ]]; then
      printf 'loadmodule "%s";\n' "$libraries/atheme/modules/$module"
    fi
  done
  cat <<CONF
serverinfo { name = "$services"; desc = "services"; numeric = "00A"; recontime = 1; netname = "TestNet";
  adminname = "tester"; adminemail = "t@example.test"; registeremail = "t@example.test"; auth = none;
  casemapping = rfc1459; hidehostsuffix = "users.test"; };
uplink "$host" { host = "127.0.0.1"; port = $link; send_password = "link"; receive_password = "link"; };
nickserv { nick = "NickServ"; user = "NickServ"; host = "$services"; real = "Nickname Services"; maxnicks = 50; };
saslserv { nick = "SaslServ"; user = "SaslServ"; host = "$services"; real = "SASL Services"; };
general { verbose_wallops; expiry_time = 0; commit_interval = 1; default_clone_limit = 500; flood_msgs = 0; ratelimit_uses = 0; };
database { };
CONF
}

# register: makes the account as a person would, which also shows that the services are linked.
register() {
  local line
  exec 4<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'NICK bot\r\nUSER bot 0 * :bot\r\n' >&4
  while IFS= read -r -t 5 line <&4; do
    case $line in
      PING*) printf 'PONG %s\r\n' "${line#PING }" >&4 ;;
      *' 001 '*) printf 'PRIVMSG NickServ :REGISTER secret bot@example.test\r\n' >&4 ;;
      *' 401 '*) break ;; # no NickServ yet
      *NOTICE*is\ now\ registered*) printf 'PRIVMSG NickServ :CERT ADD %s\r\n' "$print" >&4 ;;
      *NOTICE*fingerprint*)
        printf 'QUIT\r\n' >&4
        exec 4>&-
        return 0
        ;;
    esac
  done
  exec 4>&-
  return 1
}

inspircd_conf >"$dir/inspircd.conf"
as=()
((EUID != 0)) || as=(--runasroot)
spawn inspircd "$unpacked/usr/sbin/inspircd" --nofork --nopid "${as[@]}" --config "$dir/inspircd.conf"
ready() { listens "$port" && listens "$tls" && listens "$strict" && listens "$link"; }
wait_ready inspircd 30 ready

libraries="$(find "$unpacked/usr/lib" -maxdepth 1 -name '*-linux-gnu*' | head -n 1)"
atheme_conf >"$own/atheme.conf"
spawn atheme env "LD_LIBRARY_PATH=$libraries" "$unpacked/usr/bin/atheme-services" -n -D "$own" \
  -c "$own/atheme.conf" -l "$own/atheme.log" -p "$own/atheme.pid"
wait_ready atheme 30 register
say "inspircd: plain 127.0.0.1:$port, strict 127.0.0.1:$strict, TLS localhost:$tls, authority $dir/cert.pem"
