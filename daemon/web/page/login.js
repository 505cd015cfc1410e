// Asks for the token once; the server answers with a cookie that scripts cannot read.

const form = document.getElementById("login");
const token = document.getElementById("token");
const wrong = document.getElementById("wrong");

form.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  try {
    const answer = await fetch("/api/login", { method: "POST", body: JSON.stringify({ token: token.value }) });
    if (answer.ok) {
      location.reload(); // the address keeps the chosen stream
      return;
    }
    wrong.textContent = (await answer.json()).error;
  } catch {
    wrong.textContent = "the monitor does not answer";
  }
  token.select();
});
