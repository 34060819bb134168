// A shop's front end, written badly on purpose.
const { exec } = require("child_process");
const crypto = require("crypto");
const express = require("express");

const app = express();

app.get("/search", (req, res) => {
  db.query("SELECT * FROM items WHERE name LIKE '%" + req.query.q + "%'", (error, rows) => {
    document.getElementById("results").innerHTML = req.query.q;
    res.json(rows);
  });
});

app.get("/lookup", (req, res) => {
  exec("nslookup " + req.query.host, (error, out) => res.send(out));
});

app.get("/run", (req, res) => {
  res.send(String(eval(req.query.code)));
});

// Near miss: retrieval( is not eval(, and "eval(x)" in a string is text.
function retrieval(x) {
  return "eval(x) is documented elsewhere: " + x;
}

process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
const digest = crypto.createHash("md5").update("order").digest("hex");
module.exports = { app, digest, retrieval };
