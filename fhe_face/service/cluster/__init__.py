"""One worker, many machines: what the lanes of a worker hand to Ray instead of computing it.

The queue stays in the database, and only the worker's own machine speaks with it. Ray places one
engine and one searcher on every node, starts them again when they die, and repeats what they were
asked. A request is JSON text with digests, and so is its answer: no object of ours is pickled.

    node.py, shards.py   what runs on a node; knows nothing of Ray
    pool.py              the only module that imports Ray: who is there, asking, dying
    seats.py, lane.py    one claim of the queue for each node
    spread.py            a search over all nodes that hold blocks
"""
