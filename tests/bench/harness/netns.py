# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Network namespaces with random names, and the processes in them.

A Space owns everything it made. close() ends its processes (by process id, and whatever else lives
in its namespaces) and removes them; a child dies with us even when we are killed.
"""
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class RunError(Exception):
    """One run could not be measured; says why. The bench goes on with the next."""


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(what, seconds, try_it, every=0.02):
    """Until try_it() is true; RunError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = try_it()
        if found:
            return found
        if time.monotonic() > end:
            raise RunError("%s: not within %g s" % (what, seconds))
        time.sleep(every)


class Process:
    """A command in the background, its output in files of its own."""

    def __init__(self, space, name, argv, stdin=subprocess.DEVNULL):
        self.name = name
        self.keep = False  # a contender's: ended by it, cleanly
        self.out_path = space.path(name + ".out")
        self.err_path = space.path(name + ".err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(argv, stdout=out, stderr=err, stdin=stdin,
                                          preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def said(self, word):
        """Has it printed the word? One that ended without saying it never will."""
        if word in self.err() or word in self.out():
            return True
        if not self.running():
            raise RunError("%s: %s" % (self.name, self.last_words()))
        return False

    def last_words(self):
        lines = (self.err() + self.out()).strip().splitlines()
        return "exit %s, %s" % (self.popen.returncode, lines[-1] if lines else "said nothing")

    def wait(self, seconds):
        """Its output, when it ends with exit code 0 in time."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
            raise RunError("%s: still running after %g s" % (self.name, seconds)) from None
        if self.popen.returncode != 0:
            raise RunError("%s: %s" % (self.name, self.last_words()))
        return self.out()

    def stop(self, sig=signal.SIGTERM, seconds=5):
        """Its output; SIGKILL for what does not end in time."""
        if self.running():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.popen.stdin:
            self.popen.stdin.close()
        return self.out()


class Space:
    """Namespaces ID-NAME, a temporary folder, the processes started in them."""

    def __init__(self, names):
        self.id = "xb" + secrets.token_hex(3)
        self.names = []
        self.processes = []
        self.count = 0
        self.folder = tempfile.mkdtemp(prefix=self.id + ".")
        try:
            for name in names:
                self.command(["ip", "netns", "add", self.id + "-" + name])
                self.names.append(name)
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.folder, name)

    def enter(self, ns, argv):
        return ["nsenter", "--net=/run/netns/%s-%s" % (self.id, ns)] + [str(a) for a in argv]

    @staticmethod
    def command(argv, stdin=None, seconds=30):
        """Runs it to its end: standard output; RunError with its last line otherwise."""
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True,
                                  timeout=seconds, check=False, preexec_fn=die_with_parent)
        except subprocess.TimeoutExpired:
            raise RunError("`%s`: more than %g s" % (" ".join(argv), seconds)) from None
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise RunError("`%s`: %s" % (" ".join(argv[:12]), words[-1] if words else
                                         "exit %d" % done.returncode))
        return done.stdout

    def on(self, ns, *argv, stdin=None, seconds=30):
        return self.command(self.enter(ns, argv), stdin=stdin, seconds=seconds)

    def sysctl(self, ns, **values):
        self.on(ns, "sysctl", "-q", *("net.%s=%s" % (k.replace("__", "."), v)
                                      for k, v in values.items()))

    def start(self, ns, name, *argv, stdin=subprocess.DEVNULL):
        self.count += 1
        process = Process(self, "%s.%d" % (name, self.count), self.enter(ns, argv), stdin)
        self.processes.append(process)
        return process

    def stop_running(self):
        """The loads of a run that ended early, so that their contender can go; it is ended by its
        own down(), or by stop_all()."""
        for process in self.processes:
            if not process.keep:
                process.stop(signal.SIGKILL)

    def stop_all(self):
        """What a run has left running, and its files."""
        for process in self.processes:
            process.stop(signal.SIGKILL)
            for path in (process.out_path, process.err_path):
                if os.path.exists(path):
                    os.unlink(path)
        self.processes = []

    def close(self):
        self.stop_all()
        for name in self.names:
            full = self.id + "-" + name
            # Whatever still lives in a namespace of ours was started from here.
            listed = subprocess.run(["ip", "netns", "pids", full], capture_output=True, text=True,
                                    check=False).stdout
            for pid in listed.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", full], capture_output=True, check=False)
        self.names = []
        shutil.rmtree(self.folder, ignore_errors=True)
