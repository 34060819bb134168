package main

import (
	"crypto/md5"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
)

func handler(db *sql.DB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		db.Query(fmt.Sprintf("SELECT * FROM users WHERE name = '%s'", name))
		db.Query("SELECT * FROM users WHERE name = $1", name)
		exec.Command("sh", "-c", "finger "+name).Run()
		exec.Command("finger", "root").Run()
		os.ReadFile("/srv/" + name)
	}
}

var client = tls.Config{InsecureSkipVerify: true}
var sum = md5.New()
