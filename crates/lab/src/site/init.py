# The first process of a site. It holds the site's mount and UTS namespaces, and is the parent of every daemon
# there that has lost its own (prctl(2), PR_SET_CHILD_SUBREAPER): on machines whose process 1 does not reap, a killed
# guest would otherwise stay a zombie that libvirt takes for alive.
#
# It runs the shell commands that it is sent on a socket: one connection, one command, ended by the sender's
# shutdown. The answer is the exit status, a line feed, and what the command printed.
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile

PR_SET_CHILD_SUBREAPER = 36
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))


def reap(_signal, _frame):
    try:
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass
    except ChildProcessError:
        pass


def serve(connection):
    command = b""
    while piece := connection.recv(65536):
        command += piece
    with tempfile.TemporaryFile() as output:
        status = subprocess.call(
            ["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        output.seek(0)
        connection.sendall(b"%d\n" % status + output.read())


listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(16)
signal.signal(signal.SIGCHLD, reap)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        try:
            serve(connection)
        finally:
            os._exit(0)
    connection.close()
