"""Routes of a small shop."""

import hashlib
import os
import pickle
import subprocess

import requests
import yaml
from flask import Flask, redirect, request

app = Flask(__name__)
DB_PASSWORD = "Sommer2024!"
ADMIN_PASSWORD = os.environ["ADMIN_PASSWORD"]


@app.route("/ping")
def ping():
    host = request.args["host"]
    os.system("ping -c 1 " + host)
    subprocess.run(["ping", "-c", "1", host], check=False)
    return "done"


@app.route("/user")
def user(cursor):
    name = request.args["name"]
    cursor.execute("SELECT * FROM users WHERE name = '" + name + "'")
    cursor.execute("SELECT * FROM users WHERE name = %s", (name,))
    return "done"


@app.route("/calc")
def calc():
    # eval(request.args["x"]) was here once
    return str(eval(request.args["x"]))


@app.route("/load")
def load():
    config = yaml.load(request.data)
    safe = yaml.safe_load(request.data)
    return str((pickle.loads(request.data), config, safe))


@app.route("/go")
def go():
    return redirect(request.args["next"])


def fetch(url):
    return requests.get(url, verify=False, timeout=5)


def digest(password):
    weak = hashlib.md5(password).hexdigest()
    return weak, hashlib.sha256(password).hexdigest()


if __name__ == "__main__":
    app.run(debug=True)
