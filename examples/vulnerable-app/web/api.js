const { execSync } = require("child_process");
const crypto = require("crypto");
const https = require("https");

const apiKey = "kc8A1b2D3e4F5a6B7c8D9e0F1a2B3";

module.exports = function routes(app, db) {
  app.get("/log", (req, res) => {
    const ref = req.query.ref;
    execSync(`git log ${ref}`);
    execSync("git log");
    res.send("<p>" + req.query.name + "</p>");
  });

  app.get("/item", (req, res) => {
    db.query(`SELECT * FROM items WHERE id = ${req.query.id}`);
    db.query("SELECT * FROM items WHERE id = ?", [req.query.id]);
    res.json(/eval(x)/.test(req.query.id));
  });
};

const agent = new https.Agent({ rejectUnauthorized: false });
const token = Math.random().toString(36);
const sum = crypto.createHash("sha1").update(apiKey).digest("hex");
const text = "eval(code) is a string, not a call";
module.exports.run = (code) => eval(code);
module.exports.rest = { agent, token, sum, text };
