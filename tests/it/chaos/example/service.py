"""A service that answers with the content of a file, which a thread of its own writes again and again.

    service.py naive|resilient FILE PORT-FILE
"""

import datetime
import http.server
import os
import sys
import threading

KIND, FILE, PORT_FILE = sys.argv[1:]


def write():
    with open(FILE, "w") as file:
        file.write(datetime.datetime.now().isoformat())
    timer = threading.Timer(60, write)
    timer.daemon = True
    timer.start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            with open(FILE) as file:
                self.reply(200, file.read())
        except OSError as error:
            if KIND == "naive":
                self.reply(500, f"unhandled: {error}")
            else:
                self.reply(503, "the time is not known just now")

    def reply(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


write()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(PORT_FILE + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(PORT_FILE + ".new", PORT_FILE)
server.serve_forever()
