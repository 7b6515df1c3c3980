/** To come. */
export default function View() {
  return <h1>usage</h1>;
}
