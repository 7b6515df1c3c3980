/** To come. */
export default function View() {
  return <h1>system</h1>;
}
