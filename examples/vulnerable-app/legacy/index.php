<?php
// A guest book, written badly on purpose.
$name = $_GET["name"];
mysqli_query($db, "SELECT * FROM guests WHERE name = '" . $name . "'");
echo "Hello " . $_GET["name"];
system("finger " . $name);
$settings = unserialize($_COOKIE["settings"]);
include($_GET["page"]);

// Near miss: bound parameters.
$statement = $pdo->prepare("SELECT * FROM guests WHERE name = ?");
$statement->execute([$name]);
