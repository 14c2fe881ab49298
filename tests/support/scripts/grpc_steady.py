# mypy: ignore-errors
"""Stock grpcio clients that ask on and on: ``python grpc_steady.py TARGET THREADS`` until standard input closes.

Half of them keep one channel, the others make one for each ten calls; all have the usual retry policy. Prints a JSON
line for each line of standard input, and one at the end: how many calls each thread has made, failures, answers whose
parts are of different releases, and the last release that each thread saw.
"""

import json
import sys
import threading
import time

import grpc

POLICY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = [("grpc.service_config", json.dumps(POLICY)), ("grpc.use_local_subchannel_pool", 1)]
PATH = "/funade.arrival.Api/One"
ROW = b"\x09" + b"\0\0\0\0\0\0\x08\x40"  # km = 3


def ints(answer):
    """The varints of an answer: field number -> value (1 is a double and skipped)."""
    found, at = {}, 0
    while at < len(answer):
        key = answer[at]
        if key & 7 == 1:
            at += 9
            continue
        value, shift, at = 0, 0, at + 1
        while True:
            value |= (answer[at] & 127) << shift
            shift += 7
            at += 1
            if answer[at - 1] < 128:
                break
        found[key >> 3] = value
    return found


class Asking(threading.Thread):
    def __init__(self, target, index, stop):
        super().__init__()
        self.target, self.index, self.stop = target, index, stop
        self.calls, self.failed, self.mixed, self.last = 0, [], 0, 0

    def run(self):
        channel = None
        while not self.stop.is_set():
            if channel is None or (self.index % 2 and self.calls % 10 == 0):
                if channel is not None:
                    channel.close()
                channel = grpc.insecure_channel(self.target, options=OPTIONS)
                ask = channel.unary_unary(PATH)
            try:
                answer, call = ask.with_call(ROW, timeout=120)
                found = ints(answer)
                release = int(dict(call.trailing_metadata())["funade-release"])
                if not found[2] == found[3] == release:
                    self.mixed += 1
                self.last = release
            except grpc.RpcError as error:
                self.failed.append(f"{error.code().name}: {error.details()}")
            self.calls += 1
            time.sleep(0.002)
        channel.close()


def main(target, threads):
    stop = threading.Event()
    asking = [Asking(target, index, stop) for index in range(int(threads))]
    for one in asking:
        one.start()
    for _ in sys.stdin:
        show(asking)
    stop.set()
    for one in asking:
        one.join()
    show(asking)


def show(asking):
    seen = {
        "calls": [one.calls for one in asking],
        "failed": [text for one in asking for text in one.failed],
        "mixed": sum(one.mixed for one in asking),
        "last": sorted({one.last for one in asking}),
    }
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
