# SPDX-License-Identifier: Apache-2.0
"""Clients that commit rows and remember which commits were acknowledged.

A commit counts as acknowledged when the server said so without the warning that the
wait for the standby was cut short. One whose connection broke may or may not be there.
"""
import threading
import time

from walcase import psycopg2


class Load:
    """count threads, each inserting (client, seq) into acked and adding to its row of
    counters, in one transaction, on whatever server is the target."""

    def __init__(self, target, count):
        self.target = target
        self.last_ack = [0.0] * count  # when the latest acknowledged commit began
        self._acknowledged = [set() for _ in range(count)]
        self._seqs = [0] * count
        self._ended = threading.Event()
        self._failure = None
        target.execute("create table acked (client int, seq int, filler text, primary key (client, seq));"
                       "create table counters (client int primary key, n bigint not null)")
        target.execute("insert into counters select g, 0 from generate_series(0, %s) g", count - 1)
        self._threads = [threading.Thread(target=self._run, args=(client,), daemon=True)
                         for client in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, client):
        try:
            while not self._ended.is_set():
                try:
                    self._commit_until_it_breaks(client)
                except psycopg2.Error as error:
                    if error.pgcode and not isinstance(error, psycopg2.OperationalError):
                        raise  # an answer, and not that of a server that goes down
                    self._ended.wait(0.02)
        except Exception as error:  # pylint: disable=broad-except
            self._failure = error

    def _commit_until_it_breaks(self, client):
        server = self.target
        connection = server.connect()
        try:
            with connection.cursor() as cursor:
                while self.target is server and not self._ended.is_set():
                    seq = self._seqs[client] = self._seqs[client] + 1
                    began = time.monotonic()
                    cursor.execute(
                        f"begin; insert into acked values ({client}, {seq}, repeat('x', {seq % 500}));"
                        f" update counters set n = n + 1 where client = {client}; commit")
                    if not connection.notices:
                        self._acknowledged[client].add(seq)
                        self.last_ack[client] = began
                    del connection.notices[:]
        finally:
            connection.close()

    def total(self):
        """How many commits are acknowledged. Raises what a client failed of."""
        if self._failure:
            raise self._failure
        return sum(map(len, self._acknowledged))

    def snapshot(self):
        """What is acknowledged now: a set of numbers for each client."""
        return [set(seqs) for seqs in self._acknowledged]

    def end(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a commit does not return"
        self.total()


def missing(server, snapshot):
    """Pairs (client, seq) of a snapshot that a server does not show."""
    there = set(server.query("select client, seq from acked"))
    return [(client, seq) for client, seqs in enumerate(snapshot) for seq in seqs
            if (client, seq) not in there]
