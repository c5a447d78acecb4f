"""A real SMTP receiver: every mail lands as a file in a maildir.

Three ports from the first one on: plain; STARTTLS and login, both required; TLS from the beginning.
Addresses at refused.example are not known here, at busy.example not now.
"""

import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult


class Sink(Mailbox):
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@refused.example"):
            return "550 5.1.1 no such user"
        if address.endswith("@busy.example"):
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    good = data.login == b"whorl" and data.password == b"right-password"
    return AuthResult(success=good, handled=False)


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    kinds = [
        {},
        {"tls_context": tls, "require_starttls": True, "authenticator": login, "auth_required": True},
        {"ssl_context": tls},
    ]
    for n, kind in enumerate(kinds):
        sink = Sink(f"{folder}/mail")
        Controller(sink, hostname="127.0.0.1", port=port + n, **kind).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


main()
