// A point of a curve leads to a program: what it leads to is opened.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") {
    const list = target.parentElement.closest("details");
    if (list) list.open = true;
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus();
  }
}
addEventListener("hashchange", openTarget);
openTarget();
