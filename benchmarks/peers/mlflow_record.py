"""MLflow on SQLite: one run with ten parameters and ten metrics, logged in batches; prints the seconds of one."""

import sys
import time

import mlflow

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}")
mlflow.set_experiment("eta")
params = {f"setting{i}": i * 1.5 for i in range(10)}
metrics = {f"metric{i}": i / 7 for i in range(10)}


def once() -> None:
    with mlflow.start_run():
        mlflow.log_params(params)
        mlflow.log_metrics(metrics)


once()
started = time.perf_counter()
for _ in range(20):
    once()
print((time.perf_counter() - started) / 20)
