"""Beam's pool of Python workers, for several task managers on one machine: python -m tests.flink.worker_pool PORT

They give their workers the same names, and Beam's pool would end one's by the name of the other's. Here a worker ends
when its task manager hangs up, or with the pool.
"""

import sys
import threading

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class Pool(BeamFnExternalWorkerPoolServicer):
    """Starts workers, each a process, and stops none."""

    def StopWorker(self, stop_worker_request, unused_context):
        return beam_fn_api_pb2.StopWorkerResponse()


if __name__ == "__main__":
    _, server = Pool.start(use_process=True, port=int(sys.argv[1]))
    threading.Event().wait()
