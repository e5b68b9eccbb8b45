"""Full-text search over the titles and messages of conversations.

`terms` turns text into search terms, the same for what is stored and for what is asked, so that both databases answer
alike: SQLite's FTS5 and PostgreSQL's tsvector only ever see these. `tables` has the tables and the triggers that queue
what has changed; `indexing` works the queue off; `finding` searches.
"""
