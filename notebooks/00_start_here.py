# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here
#
# A bank writes down everything that happens to its accounts: opened, deposit made, withdrawal made, frozen,
# closed. Each of these facts is an **event**. Events are never changed; what an account holds today follows
# from all the events before.
#
# Adding them up for each question would be slow, so the bank also keeps a table with one row per account.
# Such a table is called a **read model**. It is made from the events, by a program, and programs go wrong:
# a crash, a message that came twice, a fix that was never rolled out. Then the table says one thing and the
# events say another.
#
# In the next five minutes you load a bank's events, look at every account as it was on a day of your choice,
# compare the stored table with what the events say, and find the one event that explains a wrong row.
# Run the cells from top to bottom. Nothing leaves your machine, and no server is needed.

# %% [markdown]
# ## 1. Load the events
#
# `wb.open()` makes an empty log in memory. (`wb.open("incident.duckdb")` would keep it in a file.)

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import account_summary, sample

bank = sample("bank")
log = wb.open()
log.load(wb.files(bank.events, name="bank"))

# %% [markdown]
# Every record that was read is accounted for: it was stored, it repeated an event that is here already, or it
# was rejected with a reason. Before you trust an answer from a log, look at the log itself:

# %% tags=["health"]
log

# %% [markdown]
# This card is what you would show an auditor first. An account's events are its **stream**, and they are numbered
# 1, 2, 3, … That number is the **version**. A *version gap* would be a missing number, a *clash* one number
# used twice, a *clock regression* an event that says it is older than the one before it. All of these are zero
# here, so what follows rests on a complete record.
#
# And this is the whole log, week by week. The bars show all events. In the rows below them, each type has a
# scale of its own, so that rare events stay visible beside frequent ones:

# %% tags=["chart"]
log.rates().chart()

# %% [markdown]
# ## 2. The state of everything, at a moment
#
# To go from events to accounts, somebody has to say what each column means. For the bank's table that is
# `account_summary`: the balance is all deposits less all withdrawals, and so on. Given that, the workbench
# **replays** the events up to any moment. Times carry their zone (`Z` is UTC); without one they are refused,
# not guessed.

# %% tags=["replay"]
log.replay(account_summary, as_of="2026-03-31T12:00Z")

# %% [markdown]
# That is every account that was open at noon on the last day of March, as the bank knew it then. The last three
# columns say what each row rests on: the version it has reached, the place of that event in the whole log
# (its **position**), and how many events went into it.
#
# One moment is one answer. `history` gives all of them, and `over_time` adds them up:

# %% tags=["chart"]
log.history(account_summary).over_time("current_balance").chart()

# %% [markdown]
# ## 3. One account's life
#
# Let us follow one account. Marks show its events; the lines under them show what each event left behind.

# %% tags=["chart"]
account = "acc-000774"
log.timeline(account, account_summary).chart()

# %% [markdown]
# The same as a table: every state that the account ever had, and from when until when it had it. `valid_to` is
# NULL (unknown, or not yet) for the state that still holds.

# %%
log.history(account_summary, stream=account)

# %% [markdown]
# ## 4. What the bank's table says
#
# So far the stored table played no part. Here it comes. `version="version"` names the column in which each row
# says up to which event it has got; a row is then compared with the replay *at that event*. A row that is merely
# behind is not called wrong.

# %% tags=["diff"]
stored = wb.read_model(bank.read_model, name="the bank's table", version="version")
found = log.diff(account_summary, stored)
found

# %% [markdown]
# Each row has a name for what it is:
#
# | class | what it means | what to do |
# |---|---|---|
# | match | equals the replay | nothing |
# | stale | was right once, and has not kept up since | let the program catch up |
# | missing | the events give a row, and the table has none | rebuild the row |
# | orphaned | the table has a row that no events explain | find out who wrote it |
# | corrupted | equals the replay at no time of its life | find the cause first, see below |

# %% tags=["chart"]
found.chart()

# %% [markdown]
# ## 5. Because of which event?
#
# The account that we followed is among the corrupted rows. What is stored, and what should be?

# %% tags=["cells"]
found.cells().query(f"FROM result WHERE account_id = '{account}'")

# %% [markdown]
# The table counts one transaction too few, and its balance is too low. By how much?

# %%
row = found.row(account)
difference = row["replayed_current_balance"] - row["stored_current_balance"]
difference

# %% [markdown]
# Is there an event of this account with exactly that amount? `events` gives those behind one row, and `query`
# asks on: `result` means the rows of the result that it is asked of.

# %% tags=["suspect"]
suspects = found.events(account).query(f"""
    SELECT position, version, event_type, occurred_at, data->>'amount' AS amount
    FROM result WHERE amount::DECIMAL(18,2) = {difference}
""")
suspects

# %% [markdown]
# There is one, a deposit. If the bank's program never applied it, then a replay *without* it must give exactly
# what is stored, column by column. `where` narrows a log, and what comes back has the same verbs:

# %% tags=["proof"]
suspect = suspects.rows()[0]["position"]
without = log.where(condition=f"position <> {suspect}")
rebuilt = without.replay(account_summary, stream=account).rows()[0]
{column: rebuilt[column] == row[f"stored_{column}"] for column in found.compared}

# %% [markdown]
# It does. The row is wrong *because that one deposit was skipped*. That is a finding you can act on.
#
# These data are synthetic, and the faults in the table were put there on purpose. A file beside them tells which,
# so you can check. For our account it says:

# %% tags=["truth"]
import json

faults = json.loads(bank.truth.read_text())["faults"]
fault = next(fault for fault in faults if fault["key"] == account)
fault["fault"], [(event["position"], event["event_type"]) for event in fault["events"]]

# %% [markdown]
# And for all of them, class by class, how many rows the diff found and how many faults were put in:

# %% tags=["counts"]
classes = [fault["class"] for fault in faults]
{name: (found.counts[name], classes.count(name)) for name in sorted(set(classes))}

# %% [markdown]
# ## What next
#
# - [01_load](01_load.ipynb): your own events, from files, Postgres and Kafka, and how to tell that nothing was lost.
# - [02_time_travel](02_time_travel.ipynb): two clocks, full history, SQL, and states that depend on order.
# - [03_projection_diff](03_projection_diff.ipynb): a stored table against its events: class, column, cause, repair.
# - [04_sagas](04_sagas.ipynb): a process over several services: what is stuck, what was never undone.
# - [05_dead_letters](05_dead_letters.ipynb): what consumers gave up, and when it is safe to send it again.
# - [06_schema_evolution](06_schema_evolution.ipynb): payloads that changed their shape, and what a change would change.
# - [07_audit](07_audit.ipynb): what happened to one account, proved.
# - [08_incident](08_incident.ipynb): all of it in one night, from two alerts to five causes and a repair.
#
# In a terminal, `workbench tour` walks the same way.
