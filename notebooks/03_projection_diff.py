# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An incident: which rows are wrong, since when, because of which event?
#
# A customer calls: her balance in the app is not what it should be. The app shows `account_summary`, a table that
# a program (the *projector*) keeps up to date from the bank's events. The events are the record, the table is a copy for quick
# reading. So: is the table wrong? Only for her? Since when? Why?
#
# Load the events, and see whether they can be relied upon.

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import account_summary, sample

bank = sample("bank")
log = wb.open()
log.load(wb.files(bank.events, name="bank"), prepare=[account_summary])

# %% tags=["concerns"]
log.health().concerns

# %% [markdown]
# An empty list: no gaps, no rejects, nothing open. The record is whole.
#
# ## 1. Compare
#
# `account_summary` says what each column should be. The stored table has a column `version`, in which each row
# says how many of its account's events it has applied. That is its **checkpoint**, and it decides whether a
# difference is damage or only delay. So we name it.

# %% tags=["diff"]
stored = wb.read_model(bank.read_model, name="stored table", version="version")
found = log.diff(account_summary, stored)
found

# %% [markdown]
# Not one customer, then. Most rows are right, and the others are wrong in four different ways. Each wants
# something else done about it, so take them one at a time.
#
# ## 2. Stale: late, not wrong
#
# A stale row equals what the replay gave at an earlier event. `equals_version` says which, `stale_since` until when
# that state was the right one, and `lag_events` how many events have come since. `query` asks a result on, in SQL,
# and calls its rows `result`; `df` gives all of them to pandas:

# %% tags=["stale"]
stale = found.of("stale")
stale.query("""
    SELECT account_id, equals_version, version, stale_since, lag_events
    FROM result ORDER BY stale_since
""").df()

# %% [markdown]
# Some rows have no version on the side of the replay. Their accounts were closed, so the events give no row any
# more; the projector stopped just before it heard of that:

# %% tags=["closed"]
closed = [row["account_id"] for row in stale.rows() if row["version"] is None]
log.where(stream=closed, types="AccountClosed").sql(
    "SELECT stream_id, version, event_type, recorded_at, data->>'reason' AS reason FROM events"
)

# %% [markdown]
# Late rows heal when the projector catches up. Late is not harmless, though. This account was frozen by the
# bank's compliance officers, and the table does not know:

# %% tags=["frozen"]
log.where(stream="acc-000452", condition="version > 31").sql(
    "SELECT version, event_type, recorded_at, actor, data->>'reason' AS reason FROM events"
)

# %% [markdown]
# ## 3. Why the checkpoint matters
#
# Without it, the workbench can still search the past for a state that a row equals. On this table it comes to the
# same result:

# %% tags=["blind"]
blind = log.diff(account_summary, wb.read_model(bank.read_model, name="stored table"))
same = blind.counts == found.counts
same

# %% [markdown]
# But that is a guess, and it can be fooled. Suppose a projector applied an account's *last* event wrongly: it
# moved the checkpoint, and left the balance as it was. We do that to a copy of the table, to a row that is right.

# %% tags=["fooled"]
import pandas as pd

victim = "acc-000010"
previous = log.history(account_summary, stream=victim).rows()[-2]
table = pd.read_parquet(bank.read_model)
for column in found.compared:
    table.loc[table["account_id"] == victim, column] = previous[column]


def class_of(model):
    return log.diff(account_summary, model).row(victim)["class"]


{
    "without its checkpoint": class_of(wb.read_model(table)),
    "with its checkpoint": class_of(wb.read_model(table, version="version")),
}

# %% [markdown]
# Without the checkpoint the row looks late, and everyone would wait for it to catch up. It never will. It claims to have
# applied its last event, and it has not. If your table has a version or a position, name it.
#
# ## 4. Missing and orphaned
#
# Missing rows were never written; the events know these accounts well. Orphaned rows are the other way round:
# nothing in the log explains them.

# %% tags=["missing"]
missing = [row["account_id"] for row in found.of("missing").rows()]
log.where(stream=missing).sql(
    "SELECT stream_id, count(*) AS events, max(recorded_at) AS latest FROM events GROUP BY ALL ORDER BY ALL"
)

# %% tags=["orphaned"]
orphans = [row["account_id"] for row in found.of("orphaned").rows()]
orphans, len(log.where(stream=orphans))

# %% [markdown]
# Not one event for any of them. Somebody or something wrote to that table directly. That is a question for
# people, not for a replay.
#
# ## 5. Which columns?
#
# Before looking at single rows, look at all of them together. This map compares every row with the end of the
# log, so late rows show too:

# %% tags=["chart"]
blind.chart()

# %% tags=["columns"]
blind.by_column()

# %% [markdown]
# Late rows differ all over. Corrupted rows differ in the balance and in the number of transactions, always in
# both, and never in the date or the risk. That is what it looks like when one transaction in the middle was
# lost, or counted twice.
#
# ## 6. From a corrupted row to its event
#
# Start with one account and its life. The replay's lines are what should be.

# %% tags=["chart"]
account = "acc-000774"
log.timeline(account, account_summary).chart()

# %% tags=["one-row"]
found.cells().query(f"FROM result WHERE account_id = '{account}'")

# %% [markdown]
# One transaction too few. `events` gives those behind a row. Is there one whose amount is just what the balance lacks?

# %% tags=["suspect"]
row = found.row(account)
lacking = row["replayed_current_balance"] - row["stored_current_balance"]
suspects = found.events(account).query(f"""
    SELECT position, version, event_type, recorded_at, actor, data->>'amount' AS amount
    FROM result WHERE amount::DECIMAL(18,2) = {lacking}
""")
suspects

# %% [markdown]
# A suspicion is not yet a cause. Replay the account *without* that event: if the projector skipped it, the
# result must equal the stored row in every column.

# %% tags=["proof"]
position = suspects.rows()[0]["position"]
without = log.where(condition=f"position <> {position}").replay(account_summary, stream=account)
rebuilt = without.rows()[0]
position, all(rebuilt[column] == row[f"stored_{column}"] for column in found.compared)

# %% [markdown]
# It does, so that is the cause. That was one row by hand. `explain` does it for every wrong row: it changes the row's run of
# events (one left out, a few left out, one had twice, two swapped, one of another row …) and keeps what gives the
# stored row *exactly*, in every column. Anything less is no explanation.

# %% tags=["explained"]
explained = found.explain()
explained

# %% [markdown]
# Read it as the engineer on call would: how many rows, what happened to them, where in the log, and when. "Scattered" means that the guilty events do not follow
# each other. One outage would show as one range of positions; here the faults are spread over eighteen months.
#
# Four rows stay **unexplained**: the orphans. No event of the log leads to them, and `explain` does not guess.
#
# Each row can be asked for. Where several causes give the same row, all are listed, simplest first. Here there is one:

# %% tags=["why"]
explained.row(account)

# %% tags=["causes"]
explained.query("""
    SELECT account_id, cause, positions[1] AS position, event_types[1] AS event_type, first_at
    FROM result WHERE class = 'corrupted' ORDER BY position
""").df()

# %% [markdown]
# Both faults occur, in one event each, over people and over types. That speaks against one outage, and for a projector that
# does not do its two things, changing the row and noting that it did, in one step. When it crashes in between, an
# event is lost or counted twice, depending on which came first.
#
# ### Two histories of one row
#
# What the row should have been after each event, and what it was. They part at the event that was skipped:

# %% tags=["chart"]
explained.histories(account).chart()

# %% tags=["since"]
since = explained.first_divergence(account)
since["position"], since["event_type"], since["moment"].isoformat()

# %% [markdown]
# ### Since when, how many?
#
# The upper part shows where in the log the guilty events lie; a cluster would have a mark with its number of rows. The lower
# part counts the rows that were wrong at each moment.

# %% tags=["chart"]
explained.chart()

# %% [markdown]
# ### What would put it right
#
# A plan, not an action: the statements can be read, and nothing runs until somebody runs them. (On a Postgres table
# `log.reconcile(…, apply=dsn)` runs them in one transaction, diffs again inside it, and rolls back whole unless all is as
# planned.)

# %% tags=["plan"]
plan = explained.repair(table="account_summary")
plan

# %% tags=["script"]
plan.script().splitlines()[:3]

# %% [markdown]
# ## 7. Differences that are none
#
# Not every difference is a fault. Suppose the table kept times only to the millisecond. Compared exactly, nearly
# every row would be called corrupted. A **tolerance** says how far apart two values may be:

# %% tags=["tolerance"]
import datetime as dt

rounded = pd.read_parquet(bank.read_model)
rounded["last_transaction_date"] = rounded["last_transaction_date"].dt.floor("ms")
coarse = wb.read_model(rounded, name="stored table, in milliseconds", version="version")

exact = log.diff(account_summary, coarse)
tolerant = log.diff(
    account_summary, coarse, tolerance={"last_transaction_date": dt.timedelta(milliseconds=1)}
)
{"exact": exact.counts["corrupted"], "tolerant": tolerant.counts["corrupted"]}

# %% [markdown]
# ## 8. Hand it over
#
# Whoever repairs the table needs the findings, not this notebook. Each result goes to a file in one line, and a chart is
# a page that needs no internet.

# %% tags=["exported"]
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp(prefix="workbench-"))
found.cells().df().to_csv(folder / "cells.csv", index=False)
explained.clusters().df().to_csv(folder / "clusters.csv", index=False)
(folder / "repair.sql").write_text(plan.script())
found.df().to_parquet(folder / "diff.parquet")
wb.charts.save(found.chart(), folder / "diff.html")
sorted(file.name for file in folder.iterdir())

# %% [markdown]
# And to make the finding reproducible, say upon which record it rests:

# %% tags=["evidence"]
f"{len(log):,} events, fingerprint {log.fingerprint()}"

# %% [markdown]
# ## What next
#
# What to do about each class:
#
# | class | do |
# |---|---|
# | stale | let the projector catch up, and ask why it lags |
# | missing, corrupted | fix the projector first, then rebuild these rows from the events |
# | orphaned | ask who can write to the table |
#
# In a script, `workbench diff` and `workbench explain` do the same, and tell by their exit code whether anything differs;
# `workbench reconcile` does it for several tables.
#
# - [08_incident](08_incident.ipynb): one bad day with five causes, over several tables and streams, from the alert to the repair.
# - [06_schema_evolution](06_schema_evolution.ipynb): rows that are wrong since payloads changed.
# - [02_time_travel](02_time_travel.ipynb): what was so, and what was known, at any moment.
