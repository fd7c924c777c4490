# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An audit: what happened to this account, who did it, and can the record be believed?
#
# A customer complains: her account was frozen, and she was never told why. An auditor is asked to find out. She
# wants three things: the story of the account, a reason to believe that the story is complete and unaltered, and
# a folder that she can hand on, which proves itself on somebody else's machine.
#
# The log is kept in a file this time, since part of the story is what happens when somebody lays hands on it.

# %% tags=["loaded"]
import shutil
import tempfile
from pathlib import Path

import duckdb

import workbench as wb
from workbench.bundled import account_summary, sample

folder = Path(tempfile.mkdtemp())
source = wb.files(sample("bank").events, name="bank")
log = wb.open(folder / "bank.duckdb")
log.load(source)

# %% [markdown]
# ## 1. Who did what, and why
#
# `audit` puts the events of one account in order, with the person who acted and the reason that was given. Above the
# events it says what can be vouched for (✓), what cannot (✗), and what nobody can know from the log alone (?).

# %% tags=["audit"]
account = "acc-000452"
audit = log.audit(account)
audit

# %% [markdown]
# Nothing is missing between the first and the last event, and everything that was loaded is still there. On that
# ground, the story. Each row of the picture is somebody who acted:

# %% tags=["chart"]
audit.chart()

# %% [markdown]
# The reasons are few, and they are what the customer asked for:

# %% tags=["reasons"]
audit.query("""
    SELECT version, recorded_at, event_type, actor, reason
    FROM result WHERE reason IS NOT NULL ORDER BY version
""").df()

# %% [markdown]
# ## 2. What caused it
#
# Somebody in compliance froze the account. They did not do so out of the blue: the event names the one that caused it.
# `causation` follows such links in both directions.

# %% tags=["causation"]
freeze = audit.query(
    "SELECT event_id FROM result WHERE event_type = 'AccountFrozen' ORDER BY version DESC"
).rows()[0]
tree = log.causation(freeze["event_id"])
tree

# %% tags=["chart"]
tree.chart()

# %% [markdown]
# A large withdrawal, and on the next day the freeze. Can such links be relied upon? Asked without an id, `causation`
# looks at all of them:

# %% tags=["links"]
log.causation()

# %% [markdown]
# ## 3. A head to note down
#
# Is the record the one that was written? A **hash chain** answers that. Each stream has a *head*: the SHA-256 of
# all its events, byte by byte, in their order. The heads of all streams together give one for the log. Whoever
# changes a single byte of a single event gets another head.
#
# So the auditor notes it down, on paper if she likes:

# %% tags=["head"]
noted = str(log.audit().head)
noted

# %% [markdown]
# And she packs her evidence: the events of this account, their hashes, the state that they add up to, a page to
# read, and a manifest of all that. The owner's name is nobody's business, so it is masked; who acted is replaced
# by a keyed hash, which tells people apart and does not name them.

# %% tags=["pack"]
pack = audit.pack(
    folder / "for the ombudsman",
    account_summary,
    mask=[
        "owner",
        wb.mask("event.actor", "metadata.user", by="hash", key="kept in the safe of the bank"),
    ],
)
pack

# %% [markdown]
# The other pack is for the auditor herself, and holds everything.

# %% tags=["full-pack"]
log.audit().pack(folder / "evidence").seal

# %% [markdown]
# ## 4. Somebody alters the log
#
# A log is a DuckDB file, and whoever can write the file can change it. One statement, and the freeze never had
# that reason:

# %% tags=["altered"]
log.close()
with duckdb.connect(folder / "bank.duckdb") as con:
    con.execute(f"""
        UPDATE events_base SET data = '{{"reason":"customer request"}}'
        WHERE stream_id = '{account}' AND event_type = 'AccountFrozen'
    """)
log = wb.open(folder / "bank.duckdb")
log.health().concerns

# %% [markdown]
# The log looks as healthy as before. But the head is another one:

# %% tags=["against-head"]
log.audit().check(noted).verdict

# %% [markdown]
# A head says *that*, not *where*. The pack has the events themselves, so it names what was changed. So does the
# source, which can be read again at any time:

# %% tags=["against-pack"]
log.audit().check(folder / "evidence")

# %% tags=["against-source"]
log.audit().check(source)

# %% [markdown]
# ## 5. Somebody alters the evidence
#
# The pack goes to the ombudsman, who has neither the log nor the bank's files. `wb.verify` (or
# `workbench verify` in a shell) computes all of it anew. The *seal* was sent by letter; it shows that this is the pack
# that was written, and not another one that is as neatly made.

# %% tags=["verified"]
sent = folder / "for the ombudsman"
wb.verify(sent, seal=pack.seal)

# %% [markdown]
# Now flip a single bit, somewhere in the middle of the events:

# %% tags=["flipped"]
copy = Path(shutil.copytree(sent, folder / "copy"))
raw = bytearray((copy / "events.parquet").read_bytes())
raw[len(raw) // 2] ^= 1
(copy / "events.parquet").write_bytes(raw)
wb.verify(copy)

# %% [markdown]
# And is the name really gone? Everything in the masked pack, read out:

# %% tags=["masked"]
owner = log.sql(
    f"SELECT data->>'owner' AS owner FROM events WHERE stream_id = '{account}' AND version = 1"
).rows()[0]["owner"]
texts = [str(duckdb.read_parquet(str(path)).fetchall()) for path in sorted(sent.glob("*.parquet"))]
texts += [path.read_text() for path in sent.iterdir() if path.suffix in (".html", ".json")]
{"owner is known here": bool(owner), "owner is in the pack": any(owner in text for text in texts)}

# %% [markdown]
# ## 6. A damaged disk
#
# Not everything is malice. DuckDB keeps a checksum for each block of its file. A query only finds a bad block when
# it reads it, so `wb.verify` looks at all of them:

# %% tags=["damaged"]
log.close()
raw = bytearray((folder / "bank.duckdb").read_bytes())
raw[len(raw) // 2] ^= 1
(folder / "damaged.duckdb").write_bytes(raw)
wb.verify(folder / "damaged.duckdb")

# %% tags=["tidied"]
shutil.rmtree(folder)
folder.exists()

# %% [markdown]
# ## What next
#
# - [02_time_travel](02_time_travel.ipynb): the state of everything at any moment, on two clocks.
# - [01_load](01_load.ipynb): how events come in, and why the counts always add up.
# - [08_incident](08_incident.ipynb): from an alert to root causes, when the finding is not one account but sixty rows.
