import workbench as wb
from tests.servers.kafka_client import events, event, Record
def test_smoke(kafka):
    t=kafka.topic(2)
    kafka.send(t, events(5))
    kafka.transact(t, events(3,"b"), commit=False, transactional_id=t)
    kafka.transact(t, events(2,"c"), commit=True, transactional_id=t)
    with wb.open() as log:
        r=log.load(wb.kafka(kafka.bootstrap,t), progress=False)
        print(r, r.report)
        print(log.df().T.to_string())
        assert r.stored==7
        print(log.sql("select * from loads"))
    print(kafka.offsets(t), len(kafka.read(t)))
