"""Airflow 3: a list every working day; on Mondays the model is looked after, and a challenger trained where one is due.

Airflow is no dependency of this project. Copy this file into the folder of DAGs.
"""

from __future__ import annotations

import datetime as dt

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = "/opt/leadscore"
LEADSCORE = f"cd {PROJECT} && .venv/bin/leadscore"
READS = "--params mine.yaml --data export"
CHAMPION = "--model models:/lead-scoring@champion"
START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
DEFAULTS = {"retries": 2, "retry_delay": dt.timedelta(minutes=10)}  # a run that was killed goes on where it stopped

with DAG(
    dag_id="leadscore_score",
    schedule="30 5 * * 1-5",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
):
    score = BashOperator(
        task_id="score", bash_command=f"{LEADSCORE} nightly score --lists lists --as-of {{{{ ds }}}} {CHAMPION} {READS}"
    )

with DAG(
    dag_id="leadscore_loop",
    schedule="30 6 * * 1",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
):
    monitor = BashOperator(
        task_id="monitor",
        bash_command=f"{LEADSCORE} nightly monitor --lists lists --as-of {{{{ ds }}}} {CHAMPION} {READS}",
        retries=0,  # an alert, exit code 9, stays one
    )
    retrain = BashOperator(
        task_id="retrain",
        bash_command=f"{LEADSCORE} nightly retrain --lists lists --as-of {{{{ ds }}}} {READS}",
        trigger_rule="all_done",  # an alert is a reason to retrain, and the schedule another
        skip_on_exit_code=8,  # refused: the champion stays
    )
    monitor >> retrain
