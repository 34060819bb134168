"""Orders over HTTP, written badly on purpose."""
import hashlib
import os
import pickle
import sqlite3
import subprocess

import requests
import yaml

DB_PASSWORD = "Tr0ub4dor&3-prod"
DB_HOST = "db.internal.example"


def find_user(connection: sqlite3.Connection, name: str):
    # Near miss: the word execute("SELECT ..." + name) in a comment is no finding.
    return connection.execute("SELECT * FROM users WHERE name = '" + name + "'").fetchone()


def find_order(connection: sqlite3.Connection, order: int):
    return connection.execute("SELECT * FROM orders WHERE id = ?", (order,)).fetchone()


def ping(host: str) -> int:
    return os.system("ping -c 1 " + host)


def ping_safely(host: str) -> int:
    return subprocess.run(["ping", "-c", "1", host], check=False).returncode


def restore(blob: bytes):
    return pickle.loads(blob)


def configure(text: str):
    return yaml.load(text)


def configure_safely(text: str):
    return yaml.safe_load(text)


def fingerprint(password: str) -> str:
    return hashlib.md5(password.encode()).hexdigest()


def fetch(url: str):
    return requests.get(url, verify=False)


def calculate(expression: str):
    return eval(expression)
