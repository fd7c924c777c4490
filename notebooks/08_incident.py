# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An incident: from an alert to root causes and a repair
#
# It is Sunday, a little before four in the morning, and the phone rings. Two alerts of a shop's checkout:
#
# 1. **Order totals do not match.** What `order_summary` adds up to is not what was ordered.
# 2. **Orders are stuck.** More than usual have been paid and were never shipped.
#
# Are these one fault or two? You are about to find five, which lead into one another, and to repair what they did,
# before breakfast. You need three things that every shop has: its **events**, what its consumers **gave up**, and the **table** that is wrong.
#
# At your place, these are topics and a table in Postgres. Here they come from a generator, which makes the incident and writes down, in a file that we do
# not open before the end, what it did.

# %% tags=["made"]
import json
import tempfile
from pathlib import Path

import duckdb

import workbench as wb
from workbench import samples
from workbench.bundled import checkout_saga, order_summary
from workbench.bundled.upcasters import upcasters

folder = Path(tempfile.mkdtemp(prefix="workbench-"))
made = samples.generate(
    "checkout", folder, events=20_000, seed=19, faults="incident", schema_versions=3
)
stored = wb.read_model(made.read_model, name="order_summary", version="version")

# %% [markdown]
# ## 1. Load, and ask whether the record is whole
#
# Events first, then the dead letters: a dump of the dead-letter topics, and one of the table in which an Axon application parks
# what it could not process.

# %% tags=["loaded"]
log = wb.open()
log.load(wb.files(folder / "events.parquet", name="checkout"), prepare=[order_summary])
for name in ("dead_letters.parquet", "dead_letters_axon.parquet"):
    log.load(wb.dead_letters(folder / name, name=name))
log.health()

# %% [markdown]
# No version is missing, nothing clashes, nothing was rejected. So what follows is about the table and its consumers, and not about holes in the record.
#
# One thing before any comparison. The shop's payloads have changed their shape over time, and old ones are read through *upcasters*. From
# here on, the log is read through them:

# %% tags=["upcast"]
stored_as_written = log
log = log.upcast(*upcasters("checkout"))

# %% [markdown]
# Is the first alert true? What was ordered, by the events, and what the table adds up to:

# %% tags=["alert"]
right = log.replay(order_summary).query("SELECT count(*), sum(total) FROM result").rows()[0]
table = duckdb.sql(f"""
    SELECT count(*) AS orders, count(*) - count(total) AS without_total, sum(total)::DECIMAL(18,2) AS total
    FROM '{made.read_model}'
""").fetchall()[0]
{
    "by the events": "{:,} orders, {:,} EUR".format(*right.values()),
    "in the table": "{:,} orders, {:,} of them without a total, {:,} EUR".format(*table),
}

# %% [markdown]
# It is: some orders are not there at all, others have no total, and money is lacking.
#
# ## 2. Which rows?
#
# `diff` replays the events and compares each row at the row's own checkpoint.

# %% tags=["diff"]
found = log.diff(order_summary, stored)
found

# %% tags=["chart"]
found.chart()

# %% [markdown]
# Not two per cent of the rows, and in three classes. Many differ in `items` and `total` together. Nobody's eye would see in a list of
# rows what they have in common.
#
# ## 3. Since when, and because of which events?
#
# `explain` looks for what was done to a row's run of events so that *exactly* the stored row comes out: one
# left out, one had twice, one read in the wrong shape, and so on. Then it gathers what lies together.

# %% tags=["explained"]
explained = found.explain()
explained

# %% tags=["chart"]
explained.chart()

# %% [markdown]
# Look at the upper part: three bands, one after another. Up to noon on Monday, April 20, all is well; by six in the evening, some sixty rows are
# wrong, and since then none has been added. Nobody noticed for five days.
#
# Rows that are *skipped*, *stopped* and *not written* lie in one band. They are the same outage in three places of a row's life: its
# events in the middle, its last ones, or all of them were lost. So gather by what the projector did, and ask when it began and ended:

# %% tags=["outages"]
explained.clusters().query("""
    SELECT if(cause IN ('skipped', 'stopped', 'not written'), 'never arrived', cause) AS what,
           sum(rows)::BIGINT AS rows, min(first_position) AS first, max(last_position) AS last,
           strftime(min(first_at), '%a %H:%M') AS since, strftime(max(last_at), '%a %H:%M') AS until
    FROM result GROUP BY what ORDER BY first
""").df()

# %% [markdown]
# Three outages, and three questions to the deployment log: what was done shortly before 12:11, before 15:01, and before
# 17:08? Here it would say: a new projector was released; it was rolled back, and began at the *end* of its topics, so that what had come in
# between never arrived; then somebody set it back, and too far.
#
# ### Where a row could be several things
#
# Two rows have more than one explanation. The workbench lists them all and asserts none. But `support` says how many
# rows near by can only be explained by that cause:

# %% tags=["ambiguous"]
explained.query("""
    SELECT order_id, rank, cause, positions, support FROM result
    QUALIFY count(*) OVER (PARTITION BY order_id) > 1 ORDER BY order_id, rank
""").df()

# %% [markdown]
# Alone, each could be anything of these. Among its neighbours, it is one more that was read without upcasters.
#
# ## 4. Payloads that were read in the wrong shape
#
# What happened to payloads that day? `census` counts them by type and version:

# %% tags=["chart"]
created = log.where(types=["OrderCreated", "InventoryReserved"]).census()
created.chart()

# %% [markdown]
# On Monday the first servers began to write version 2 of `OrderCreated`, while most still wrote version 1. An order of each
# kind, as it is stored that day:

# %% tags=["payloads"]
monday = "recorded_at >= '2026-04-20T00:00Z' AND recorded_at < '2026-04-21T00:00Z'"
written = stored_as_written.where(types="OrderCreated", condition=monday).sql("""
    SELECT schema_version, min_by(data, position) AS data FROM events GROUP BY ALL ORDER BY ALL
""")
{row["schema_version"]: row["data"][:110] + " …" for row in written.rows()}

# %% [markdown]
# `total_cents` became `total`, `customer` became `customerId`. Whoever looks for the new names in an old payload finds nothing: no total, no
# customer. In the same way `quantity` was `qty`, so the order has no items. That is the release: **it came without
# the upcasters**, and nearly everything that was written that day was still of the old version.
#
# One row in two histories: as it should have been after each event, and as it was.

# %% tags=["chart"]
order = explained.query("""
    SELECT order_id FROM result WHERE rank = 1 AND cause = 'not upcast' ORDER BY first_at
""").rows()[0]["order_id"]
explained.histories(order).chart()

# %% [markdown]
# ## 5. What the projector gave up because of that
#
# A wrong value does not stay where it is. What did consumers give up? Most of it is the noise of any day, so ask for what was **new** on Monday:

# %% tags=["chart"]
letters = log.dead_letters()
fresh = letters.fingerprints("2026-04-20T00:00Z")
fresh.chart()

# %% tags=["new"]
fresh.query("""
    SELECT fingerprint, consumers, dead_letters, first_at, message FROM result WHERE new ORDER BY dead_letters
""").df()

# %% [markdown]
# Two fingerprints. The smaller one is our projector's: from 12:11 on it gave up payments of orders that are *paid but have no items*. We know
# why they had none.

# %% tags=["parked"]
parked = log.dead_letters(consumer="order-summary")
parked

# %% [markdown]
# Only the payments failed: those are the *roots*. The others are *blocked*: they were never tried, because an earlier event of their order is parked, and what is
# parked keeps its order. So these rows did not just go wrong, they also stand still. Which rows are behind their events, and is there one that
# neither the parked letters nor the outage of three o'clock explain?

# %% tags=["behind"]
head = log.replay(order_summary).df()
behind = {
    key
    for (key,) in duckdb.sql(f"""
        SELECT order_id FROM '{made.read_model}' model JOIN head USING (order_id)
        WHERE model.version < head.version
    """).fetchall()
}
sequences = {row["sequence_id"] for row in parked.rows()}
best = {
    row["order_id"]: row["cause"] for row in explained.query("FROM result WHERE rank = 1").rows()
}
stopped = {order for order, cause in best.items() if cause == "stopped"}
misread = {order for order, cause in best.items() if cause == "not upcast"}
{
    "behind": len(behind),
    "parked": len(behind & sequences),
    "never arrived": len(behind & stopped),
    "for another reason": len(behind - sequences - stopped),
    "parked and not misread": len(sequences - misread),
}

# %% [markdown]
# None for another reason; and each order that was parked had been misread before. **The parked letters are a child of the release.** But
# they have outlived it: the rollback at three brought the upcasters back, and what is parked stays parked.
#
# ## 6. The other alert: orders that are paid and never shipped
#
# The other new fingerprint is of the shipping service, which has nothing to do with our table.

# %% tags=["chart"]
sagas = log.sagas(checkout_saga)
sagas.chart()

# %% [markdown]
# Monday stands out in *stuck*. Some orders get stuck on any day; by the day on which they began, those that wait for `ship`:

# %% tags=["stuck"]
waiting = sagas.of("stuck").query("""
    SELECT saga_id, started_at::DATE AS day FROM result WHERE step = 'ship'
""")
waiting.query(
    "SELECT day, count(*) AS orders FROM result GROUP BY day ORDER BY orders DESC LIMIT 4"
).df()

# %% [markdown]
# The letters say which order they are about, and the saga says what became of it:

# %% tags=["held"]
refused = fresh.query("""
    SELECT fingerprint FROM result WHERE new AND list_contains(consumers, 'shipping-service')
""").rows()[0]["fingerprint"]
held = log.dead_letters(fingerprint=refused)
flows = {row["correlation_id"] for row in held.rows()}
on_monday = {row["saga_id"] for row in waiting.rows() if f"{row['day']}" == "2026-04-20"}
{
    "letters": len(held),
    "of them stuck before shipping": len(flows & {row["saga_id"] for row in waiting.rows()}),
    "stuck since Monday": len(on_monday),
    "of them without such a letter": len(on_monday - flows),
}

# %% [markdown]
# Each payment that was given up with a *401, token expired* belongs to an order that is stuck, without an exception. The few others that are stuck since Monday are
# what is stuck on any day. Why the alarm only now? An order may wait five days for its parcel, and for the last of these they
# were over on Saturday evening.
#
# How much money is that, and are some of these orders also wrong in the table?

# %% tags=["money"]
paid = (
    log.where(correlation=sorted(flows), types="PaymentProcessed")
    .sql("""
    SELECT data->>'orderId' AS order_id, CAST(data->>'amount' AS DECIMAL(18,2)) AS amount FROM events
""")
    .rows()
)
wrong = {row["order_id"] for row in explained.rows()}
{
    "orders": len(paid),
    "EUR": f"{sum(row['amount'] for row in paid):,}",
    "also wrong in the table": len({row["order_id"] for row in paid} & wrong),
}

# %% [markdown]
# Those in both are where the two stories cross: an order was paid, the shipping service refused it, *and* our projector made a wrong row
# of it. For the others the table says `paid`, and that is right: no comparison of tables can find them. That is why you ask the process, too.
#
# ## 7. What it was
#
# | since | what | what came of it |
# |---|---|---|
# | 09:31 | the shipping service's token expired | orders paid, refused, and stuck |
# | 12:11 | a projector was released without upcasters | rows without total, customer, items |
# | 12:11 | it gave up payments of orders without items | these orders are parked: their rows stand still |
# | 15:01 | it was rolled back, and began at the end of its topics | events never arrived: rows with holes, late rows, no rows |
# | 17:08 | it was set back too far | events were applied twice |
#
# How sure is that? Each wrong row has an explanation that gives it *exactly*, in every column. The times are those of the events. What people *did*
# at these times stands in no event; ask them.
#
# ## 8. Repair
#
# In this order: the projector of today has its upcasters, so nothing new goes wrong while you work. The table first. `reconcile`
# diffs, explains and plans in one step, for as many tables as you give it. It writes nothing:

# %% tags=["plan"]
plan = log.reconcile(order_summary, stored)
plan

# %% tags=["actions"]
plan.df()

# %% [markdown]
# The plan is SQL that can be read before it is run, one statement for each wrong row:

# %% tags=["script"]
[line[:140] for line in plan.script().splitlines()[:5]]

# %% [markdown]
# Try it on a copy. (On the real table in Postgres, `log.reconcile(…, apply="postgresql://…")` runs it in one transaction,
# diffs again inside it, and rolls back whole unless everything is as planned.)

# %% tags=["repaired"]
copy = folder / "copy.duckdb"
with duckdb.connect(str(copy)) as connection:
    connection.execute(f"CREATE TABLE order_summary AS FROM '{made.read_model}'")
    connection.execute(plan.script())

again = log.diff(order_summary, wb.read_model(copy, table="order_summary", version="version"))
again

# %% [markdown]
# No difference is left. (The plan sets the columns of the definition and the checkpoint that we named, `version`. This table has a second
# one, `position`, of which the plan knows nothing: whoever relies on it has to set it, too.)
#
# And did the plan keep its hands off the rows that were right?

# %% tags=["untouched"]
with duckdb.connect(str(copy), read_only=True) as connection:
    changed = connection.sql(f"FROM order_summary EXCEPT FROM '{made.read_model}'").fetchall()
len(changed), {row[0] for row in changed} == wrong

# %% [markdown]
# Then the letters. **The parked ones must not be sent again:** the repaired rows have these events already. They would be applied a
# second time, and that would be the sixth fault. The workbench holds them back anyway, since Axon's own queue has to let go of them:

# %% tags=["parked-redrive"]
parked.redrive(order_summary)

# %% [markdown]
# The payments that shipping refused are another matter: nothing came of them, so they have to be sent again, once the token is
# renewed. Not to the topic that they came from, where every consumer would see them a second time, but to one of the shipping
# service's own:

# %% tags=["redrive"]
held.redrive(to="shipping.retry")

# %% [markdown]
# When that is done, load the topics again, and `log.redrives()` tells of each whether it arrived.
#
# ## 9. Was it so?
#
# Nobody tells you at your place. Here the generator did write down what it had done, and now we open the file:

# %% tags=["truth"]
lost = ("skipped", "run skipped", "stopped", "not written")
said = {
    "held up": {row["order_id"] for row in paid},
    "un-upcast": misread,
    "parked": sequences,
    "skipped": {order for order, cause in best.items() if cause in lost},
    "doubled": {order for order, cause in best.items() if cause.endswith("applied twice")},
}
truth = json.loads(made.truth.read_text())
done = {one["cause"]: set(one["rows"] or one["unchanged"]) for one in truth["incidents"]}
{cause: (len(said.get(cause, ())), said.get(cause) == orders) for cause, orders in done.items()}

# %% [markdown]
# Five there were, and five were found, each with exactly its orders. None was invented.
#
# ## 10. Hand it over
#
# For the review on Monday: what was found, the plan that was run, and the pictures as pages that need no internet.

# %% tags=["exported"]
report = folder / "report"
report.mkdir()
explained.clusters().df().to_csv(report / "outages.csv", index=False)
held.df().to_csv(report / "refused_payments.csv", index=False)
found.cells().df().to_csv(report / "wrong_cells.csv", index=False)
(report / "repair.sql").write_text(plan.script())
wb.charts.save(explained.chart(), report / "explained.html")
wb.charts.save(sagas.chart(), report / "sagas.html")
(
    sorted(file.name for file in report.iterdir()),
    f"{len(log):,} events, fingerprint {log.fingerprint()}",
)

# %% [markdown]
# ## What next
#
# Each of these went deeper into one step of the night:
#
# - [03_projection_diff](03_projection_diff.ipynb): how a wrong row is explained, and what its class means.
# - [05_dead_letters](05_dead_letters.ipynb): fingerprints, roots and followers, and when it is safe to send again.
# - [06_schema_evolution](06_schema_evolution.ipynb): upcasters, and what a release would change, *before* it is made.
# - [07_audit](07_audit.ipynb): the evidence in a folder that proves itself, for whoever asks next week.
