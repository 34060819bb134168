<html><body>
<?php
$name = $_GET['name'];
echo "<p>Hello $name</p>";
echo "<p>Hello " . htmlspecialchars($name) . "</p>";
mysqli_query($db, "SELECT * FROM users WHERE name = '$name'");
system("finger " . $name);
system("finger " . escapeshellarg($name));
include $_GET['page'];
$session = unserialize($_COOKIE['session']);
// eval($name);
?>
</body></html>
