#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""sink.py L4PORT - HTTP server for uploads: PUT or POST answers with the body's sha256.

Stores nothing. Each request leaves one line on stdout: client address and L4 port as seen here,
bytes, hash.
"""
import hashlib
import http.server
import sys


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        left = int(self.headers.get("Content-Length", 0))
        total, digest, piece = left, hashlib.sha256(), bytearray(1 << 20)
        view = memoryview(piece)
        while left:
            got = self.rfile.readinto(view[:min(left, len(piece))])
            if not got:
                self.close_connection = True
                return
            digest.update(view[:got])
            left -= got
        answer = (digest.hexdigest() + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print("%s:%d PUT %d bytes sha256 %s" % (*self.client_address, total, digest.hexdigest()),
              flush=True)

    do_POST = do_PUT

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


Server(("0.0.0.0", int(sys.argv[1])), Sink).serve_forever()
