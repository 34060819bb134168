const box = document.getElementById("box");
const name = new URLSearchParams(location.search).get("name");

box.innerHTML = "<b>" + name + "</b>";
box.textContent = name;
box.innerHTML = "<b>hello</b>";
